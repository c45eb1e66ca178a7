cat >model.net <<'END'
data shapes {
  read npz("shapes.npz") -> image: [1, h <= 6, w <= 5], kind: class(2)
}
network Net(x: [1, h, w]) -> [2] { x |> conv(2, kernel = 3) |> max_pool(2, round = ceil) |> global_average |> dense(2) }
train model {
  data     shapes
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), kind) using sgd(0.1)
  predict  class = argmax(scores)
  batch    4
  epochs   1
}
END
"$NETC" build model.net -o model || exit
cat >write.py <<'END'
import struct, sys, zipfile
def npy(kind, shape, values):
    head = repr({"descr": {"f": "<f4", "i": "<i4"}[kind], "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(values)}{kind}", *values)
def write(path, h, w, n=4, height=6, width=5, **left_out):
    with zipfile.ZipFile(path, "w") as z:
        arrays = {"image": ("f", (n, 1, height, width), [i % 7 for i in range(n * height * width)]),
                  "kind": ("i", (n,), [i % 2 for i in range(n)]), "image.h": ("i", (len(h),), h), "image.w": ("i", (len(w),), w)}
        for name, a in arrays.items():
            if name not in left_out.get("without", ()):
                z.writestr(name + ".npy", npy(*a))
write("shapes.npz", [6, 3, 4, 5], [5, 3, 4, 5])
write("above.npz", [6, 3, 7, 5], [5, 3, 4, 5])
write("zero.npz", [6, 3, 4, 5], [5, 0, 4, 5])
write("small.npz", [6, 3, 4, 5], [5, 3, 2, 5])
write("lacks.npz", [6, 3, 4, 5], [5, 3, 4, 5], without=["image.w"])
write("short.npz", [6, 3, 4], [5, 3, 4, 5])
write("large.npz", [6, 3, 4, 5], [5, 3, 4, 5], height=9)
write("ends.npz", [4, 3, 5, 4], [4, 3, 4, 4], height=4, width=4)
write("less.npz", [3, 3, 4, 4], [4, 3, 4, 4], height=4, width=4)
END
python3 write.py || exit
./model train --quiet; echo "train: exit $?"
for name in above zero small lacks short large ends less; do
    ./model predict --weights runs/model/last.safetensors $name.npz >out; echo "$name: exit $?"
done
for name in above lacks small ends; do
    ./model trace --weights runs/model/last.safetensors --input $name.npz --output o.npz; echo "trace $name: exit $?"
    mkdir -p $name && cp $name.npz $name/shapes.npz
    ./model eval --weights runs/model/last.safetensors --data shapes=$name; echo "eval $name: exit $?"
done
echo "1,2,3" >rows.csv
./model predict --weights runs/model/last.safetensors rows.csv; echo "rows: exit $?"
./model info | grep "shape\|image\|kind"
