"""The networks of stdlib/models.net in PyTorch, as functions of parameters by the paths that netc gives them.

`alexnet(Walk(p, "AlexNet.alexnet_1"), x)`: p holds `AlexNet.alexnet_1.conv_1.W` and so on. Used by the comparisons of training
steps beside this file, and by bench/compare.py, which hands this text to another Python: it needs nothing but torch.
"""
import torch

F = torch.nn.functional


def silu(x):
    return x * torch.sigmoid(x)


class Walk:
    """Layers by kind and counter, as netc counts them. `drops`: with dropout; `settles`: running statistics move."""

    def __init__(self, p, prefix, smooth=False, training=True, drops=False, settles=False):
        self.p, self.prefix, self.smooth, self.training, self.drops, self.settles, self.counts = p, prefix, smooth, training, drops, settles, {}
        self.relu = silu if smooth else F.relu

    def path(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{self.prefix}.{kind}_{self.counts[kind]}"

    def inside(self, kind):
        return Walk(self.p, self.path(kind), self.smooth, self.training, self.drops, self.settles)

    def drop(self, x, keep):
        return F.dropout(x, 1 - keep) if self.drops and keep < 1 else x

    def conv(self, x, stride=1, pad=0, groups=1):
        path = self.path("conv")
        return F.conv2d(x, self.p[path + ".W"], self.p.get(path + ".b"), stride, pad, 1, groups)

    def dense(self, x):
        path = self.path("dense")
        return F.linear(x, self.p[path + ".W"], self.p[path + ".b"])

    def norm(self, x):
        path = self.path("batch_norm")
        mean, var = self.p[path + ".mu"], self.p[path + ".var"]
        if not self.settles:
            mean, var = mean.clone(), var.clone()
        return F.batch_norm(x, mean, var, self.p[path + ".gamma"], self.p[path + ".beta"], training=self.training, eps=1e-5)

    def pool(self, x, size, stride, pad=0, ceil=False):
        if self.smooth:
            return F.avg_pool2d(x, size, stride, pad, ceil_mode=ceil, count_include_pad=False)
        return F.max_pool2d(x, size, stride, pad, ceil_mode=ceil)


def lrn(x):
    return F.local_response_norm(x, 5, 1e-4, 0.75, 2)


def lenet(w, x):
    x = F.max_pool2d(F.relu(w.conv(x, 1, 2)), 2)
    x = F.max_pool2d(F.relu(w.conv(x)), 2).flatten(1)
    return w.dense(F.relu(w.dense(F.relu(w.dense(x)))))


def mlp(w, x):
    return w.dense(F.relu(w.dense(F.relu(w.dense(x.flatten(1))))))


def alexnet(w, x):
    x = w.pool(lrn(w.relu(w.conv(x, 4))), 3, 2)
    x = w.pool(lrn(w.relu(w.conv(x, 1, 2, 2))), 3, 2)
    x = w.relu(w.conv(x, 1, 1))
    x = w.relu(w.conv(x, 1, 1, 2))
    x = w.pool(w.relu(w.conv(x, 1, 1, 2)), 3, 2).flatten(1)
    x = w.drop(w.relu(w.dense(w.drop(x, 0.5))), 0.5)
    return w.dense(w.relu(w.dense(x)))


def vgg(w, x, convs=(1, 1, 2, 2, 2)):
    for n in convs:
        for _ in range(n):
            x = w.relu(w.conv(x, 1, 1))
        x = w.pool(x, 2, 2)
    x = x.flatten(1)
    for _ in range(2):
        x = w.drop(w.relu(w.dense(x)), 0.5)
    return w.dense(x)


def vgg16(w, x):
    return vgg(w, x, (2, 2, 3, 3, 3))


def inception(w, x):
    w = w.inside("inception")
    one = w.relu(w.conv(x))
    three = w.relu(w.conv(w.relu(w.conv(x)), 1, 1))
    five = w.relu(w.conv(w.relu(w.conv(x)), 1, 2))
    return torch.cat([one, three, five, w.relu(w.conv(w.pool(x, 3, 1, 1)))], 1)


def head(w, x):
    w = w.inside("auxiliary")
    x = w.relu(w.conv(F.avg_pool2d(x, 5, 3))).flatten(1)
    return w.dense(w.drop(w.relu(w.dense(x)), 0.3))


def googlenet(w, x):
    x = lrn(w.pool(w.relu(w.conv(x, 2, 3)), 3, 2, ceil=True))
    x = w.relu(w.conv(w.relu(w.conv(x)), 1, 1))
    x = w.pool(lrn(x), 3, 2, ceil=True)
    x = w.pool(inception(w, inception(w, x)), 3, 2, ceil=True)
    a = inception(w, x)
    b = inception(w, inception(w, inception(w, a)))
    x = w.pool(inception(w, b), 3, 2, ceil=True)
    x = inception(w, inception(w, x)).mean((2, 3))
    x = w.drop(x, 0.6)
    return (w.dense(x), head(w, a), head(w, b)) if w.training else w.dense(x)


def project(w, x, filters, stride):
    if stride == 1 and x.shape[1] == filters:
        return x
    w = w.inside("projection")
    return w.norm(w.conv(x, stride))


def pad_maps(w, x, filters, stride):
    """A shortcut without parameters: maps of zeros."""
    if stride == 1 and x.shape[1] == filters:
        return x
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, filters - x.shape[1]))


def residual(w, x, filters, stride, shortcut=project):
    w = w.inside("residual")
    y = w.norm(w.conv(w.relu(w.norm(w.conv(x, stride, 1))), 1, 1))
    return w.relu(y + shortcut(w, x, filters, stride))


def bottleneck(w, x, width, stride):
    w = w.inside("bottleneck")
    y = w.relu(w.norm(w.conv(w.relu(w.norm(w.conv(x))), stride, 1)))
    return w.relu(w.norm(w.conv(y)) + project(w, x, 4 * width, stride))


def resnet(w, x, blocks=(2, 2, 2, 2), block=residual):
    x = w.pool(w.relu(w.norm(w.conv(x, 2, 3))), 3, 2, 1)
    for level, n in enumerate(blocks):
        for i in range(n):
            x = block(w, x, 64 << level, 2 if level and not i else 1)
    return w.dense(x.mean((2, 3)))


def resnet50(w, x):
    return resnet(w, x, (3, 4, 6, 3), bottleneck)


def resnet20(w, x):
    x = w.relu(w.norm(w.conv(x, 1, 1)))
    for level in range(3):
        for i in range(3):
            x = residual(w, x, 16 << level, 2 if level and not i else 1, pad_maps)
    return w.dense(x.mean((2, 3)))
