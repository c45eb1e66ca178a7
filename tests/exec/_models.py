"""Small programs with what could break reproducibility: dropout, augmentation, state, schedules, stopping rules."""

CONVOLUTION = """
data blobs {
  read  csv("blobs.csv") -> cells: [12], label: class(4)
  split test       = 60 of train
  split validation = 0.2 of train
  image = reshape(standardize(cells), [1, 3, 4])
}
network Net(image: [1, 3, 4]) -> [4] {
  image |> conv(8, kernel = 3, pad = 1) |> batch_norm |> relu |> flatten |> dropout(0.8) |> dense(40) |> relu |> dense(4)
}
train small {
  data     blobs
  augment  image <- add_noise(image, 0.1)
  picture, target = mixup(image, one_hot(label), 0.4)
  scores   = Net(picture)
  minimize soft_cross_entropy(softmax(scores), target) + 1e-4 * l2(Net.*.W) using clip_norm(5, adam(cosine(0.01, step, steps)))
  measure  accuracy = correct(scores, label)
  predict  class = argmax(scores)
  batch    32
  epochs   40
  stop if  stalled(validation.loss, 30)
  report   test.accuracy
}
"""

DENSE = """
data blobs {
  read  csv("blobs.csv") -> cells: [12], label: class(4)
  split test = 60 of train
  x = rescale(cells)
}
network Net(x: [12]) -> [4] { x |> dense(64) |> tanh |> dense(64) |> gelu |> dense(4) }
train dense_net {
  data     blobs
  scores   = Net(x)
  minimize cross_entropy(softmax(scores), label) using RULE
  measure  accuracy = correct(scores, label)
  batch    25
  epochs   30
}
"""

# Stages that share parameters, an update between them, one that settles states.
STAGED = """
data blobs {
  read  csv("blobs.csv") -> cells: [12], label: class(4)
  split test       = 60 of train
  split validation = 0.2 of train
  x = standardize(cells)
}
network Code(x: [12]) -> [16] { x |> dense(48) |> batch_norm |> tanh |> dropout(0.9) |> dense(16) }
network Back(h: [16]) -> [12] { h |> dense(12) }
network Top(h: [16]) -> [4] { h |> batch_norm |> dense(4) }
train staged {
  data   blobs
  state  share: [4] = 0
  h      = Code(x)
  mixed, target = mixup(h, one_hot(label), 1)          # of hidden values: gradients go to both samples
  scores = Top(mixed)
  stage first {
    minimize mse(Back(h), x) over Code, Back using accumulate(3, adam(0.01))
    batch    50
    epochs   6
    stop if  stalled(validation.loss, 4)
  }
  share <- mean(softmax(scores), over = batch)
  stage tune {
    minimize soft_cross_entropy(softmax(scores), target) over Code, Top using clip_norm(1, adam(cosine(0.01, step, steps)))
    measure  accuracy = correct(scores, label)
    epochs   10
  }
  stage settle { }
  report test.accuracy
}
"""

# A rate that falls with a measurement and with the step, stopping and keeping by measurements, a stage with each.
MEASURED = """
data blobs {
  read  csv("blobs.csv") -> cells: [12], label: class(4)
  split test       = 60 of train
  split validation = 0.2 of train
  x = standardize(cells)
}
network Net(x: [12]) -> [4] { x |> dense(32) |> batch_norm |> relu |> dropout(0.8) |> dense(4) }
train measured {
  data     blobs
  scores   = Net(x)
  measure  accuracy = correct(scores, label)
  keep if  highest(validation.accuracy)
  stage warm {
    minimize cross_entropy(softmax(scores), label)
      using sgd(warmup(0.2, step, 60) * plateau(1.0, validation.loss, patience = 1, factor = 0.5))
    batch   20
    epochs  8
    stop if stalled(validation.accuracy, 5)
  }
  stage fine {
    minimize cross_entropy(softmax(scores), label) using adam(plateau(0.01, train.loss, patience = 2) / (1 + 0.1 * epoch))
    batch   33
    epochs  8
    stop if stalled(validation.loss, 6)
  }
  report   test.accuracy
}
"""

# Several parts, each with its rule: one minds a measurement, one gathers steps.
PARTS = """
data blobs {
  read  csv("blobs.csv") -> cells: [12], label: class(4)
  split validation = 0.2 of train
  x = standardize(cells)
}
network Code(x: [12]) -> [16] { x |> dense(24) |> tanh |> dense(16) }
network Top(h: [16]) -> [4] { h |> batch_norm |> dense(4) }
network Back(h: [16]) -> [12] { h |> dropout(0.9) |> dense(12) }
train parts {
  data     blobs
  h        = Code(x)
  scores   = Top(h)
  minimize cross_entropy(softmax(scores), label) + 0.1 * mse(Back(h), x)
    over Code using adam(cosine(0.01, step, steps))
    over Top using momentum(plateau(0.05, validation.loss, patience = 1, factor = 0.5), 0.9)
    over Back using accumulate(3, clip_norm(1, rmsprop(0.01)))
  measure  accuracy = correct(scores, label)
  batch    24
  epochs   14
  stop if  stalled(validation.loss, 6)
  report   validation.accuracy
}
"""
