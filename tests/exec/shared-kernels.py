"""Layers of one shape share their kernels: six residual blocks more add (almost) no functions to the module."""
import re
import sys

from _trainer import NETC, Folder, call

SOURCE = """data photos {
  read npy("x.npy") -> image: [3, 16, 16]
  read npy("y.npy") -> label: class(10)
}
network Net(image: [3, 16, 16]) -> [10] {
  x = image |> conv(16, kernel = 3, pad = 1, bias = none) |> batch_norm |> relu
  for i < %d { x <- residual(x, 16) }
  x |> global_average |> dense(10)
}
train net {
  data     photos
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), label) using momentum(0.1, 0.9)
  batch    8
  epochs   1
}
"""

folder = Folder()
count = {}
for blocks in (3, 9):
    (folder / "net.net").write_text(SOURCE % blocks)
    call(NETC, "build", folder / "net.net", "--emit=llvm", "-o", folder / "net.ll")
    count[blocks] = len(re.findall(r"^define .*convolution", (folder / "net.ll").read_text(), re.M))
good = 0 < count[9] == count[3]
print(f"{'ok    ' if good else 'FAILED'} functions of convolutions: {count[3]} with 3 blocks, {count[9]} with 9")
sys.exit(not good)
