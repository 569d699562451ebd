-- exempt.lua: ops without a golden value from PyTorch, and why. Other checks still apply to them.
local random = "random numbers: rng specs"
local memory = "memory that is not set"
local step = "a whole optimizer step: optim_spec"
return {
  bernoulli = random, bernoulli_ = random, dropout = random, multinomial = random, normal = random,
  normal_ = random, rand = random, rand_like = random, randint = random, randint_like = random,
  randn = random, randn_like = random, randperm = random, random_ = random, uniform_ = random,
  exponential_ = random, log_normal_ = random, cauchy_ = random, geometric_ = random, alpha_dropout = random,
  sgd_step_ = step, adam_step_ = step,
  empty = memory, empty_like = memory, new_empty = memory, empty_strided = memory,
}
