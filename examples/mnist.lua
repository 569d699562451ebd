-- Trains a network on handwritten digits.
--
--     moontorch examples/mnist.lua [--model mlp|lenet] [--data DIR] [--epochs 2] [--device cpu]
--                                  [--seed 1] [--batch 64] [--lr 0.003] [--save model.mt]
--
-- Without --data it looks for MNIST in ./data, then tries to fetch it there, and without a
-- network draws digits of its own. Ends with status 1 when the test accuracy stays too low.

local torch = require "moontorch"
local nn, F, optim = torch.nn, torch.nn.functional, torch.optim
local datasets = torch.vision.datasets

local options = {
  model = "mlp", epochs = 2, device = "cpu", seed = 1, batch = 64, lr = 0.003,
  save = "mnist-model.mt",
}

local usage = "usage: mnist.lua [--model mlp|lenet] [--data DIR] [--epochs N] [--device NAME]\n"
  .. "  [--seed N] [--batch N] [--lr X] [--save FILE]\n"

local i = 1
while i <= #arg do
  local name, value = arg[i]:match("^%-%-(%a+)=?(.*)$")
  if value == "" then
    i = i + 1
    value = arg[i]
  end
  local known = name == "data" or name and options[name] ~= nil
  if known and value and type(options[name]) == "number" then value = tonumber(value) end
  if not known or not value or name == "model" and value ~= "mlp" and value ~= "lenet" then
    io.stderr:write(usage)
    os.exit(2)
  end
  options[name] = value
  i = i + 1
end

-- ---- data: the two sets, and whether they are the real ones ----

local normalize = {mean = 0.1307, std = 0.3081}

local function load_sets()
  local dir = options.data
  if not dir then
    dir = "data"
    if not (datasets.MNIST.exists(dir, true) and datasets.MNIST.exists(dir, false)) then
      local ok, why = require("moontorch.vision.download").mnist(dir)
      if not ok then
        print("MNIST is not here (" .. why .. "): training on drawn digits instead")
        local digits = datasets.SyntheticDigits
        return digits(20000, normalize), digits(4000, normalize), false
      end
    end
  end
  return datasets.MNIST(dir, true, normalize), datasets.MNIST(dir, false, normalize), true
end

-- ---- models ----

local models = {}

function models.mlp()
  return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
end

function models.lenet()
  return nn.Sequential(
    nn.Conv2d(1, 6, 5, {padding = 2}), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
end

-- ---- training ----

torch.manual_seed(options.seed)
local train_set, test_set, real = load_sets()
local train_loader =
  torch.data.DataLoader(train_set, {batch_size = options.batch, shuffle = true, drop_last = true})
local test_loader = torch.data.DataLoader(test_set, {batch_size = 1000})

local model = models[options.model]():to(options.device)
local optimizer = optim.Adam(model:parameters(), {lr = options.lr})
local steps = options.epochs * train_loader:len()
-- the rate falls to zero in a line
local schedule = optim.lr_scheduler.LambdaLR(optimizer, function(step) return 1 - step / steps end)

local function train_epoch(epoch)
  model:train()
  local bar = torch.progress(train_loader:len(), "epoch " .. epoch)
  local total = torch.zeros({}, {device = options.device})
  for batch, x, y in train_loader:iter() do
    torch.scope(function()
      optimizer:zero_grad()
      local loss = F.cross_entropy(model(x:to(options.device)), y:to(options.device))
      loss:backward()
      optimizer:step()
      schedule:step()
      total:add_(loss:detach())
    end)
    bar:update(batch)
  end
  bar:finish()
  return total:item() / train_loader:len()
end

local function accuracy()
  model:eval()
  local right = 0
  for _, x, y in test_loader:iter() do
    right = right + torch.no_grad(function()
      return model(x:to(options.device)):argmax(2):eq(y:to(options.device)):sum():item()
    end)
  end
  return 100 * right / test_set:len()
end

local reached = 0
for epoch = 1, options.epochs do
  local loss = train_epoch(epoch)
  reached = accuracy()
  print(("epoch %d  loss %.4f  test accuracy %.2f%%"):format(epoch, loss, reached))
end

torch.save({model = options.model, state = model:state_dict()}, options.save)
print("saved to " .. options.save)

local needed = real and (options.model == "lenet" and 98 or options.epochs >= 2 and 97 or 95) or 95
if reached < needed then
  io.stderr:write(("test accuracy is below %d%%\n"):format(needed))
  os.exit(1)
end
