-- The digit example learns, and a seed gives the same weights, bit for bit, over two runs and over
-- 1, 2 and 3 threads.
local H = require "spec.helper"
local torch = H.torch

-- A hash of the bits of every parameter.
local function hash(model)
  local bit = require "bit"
  local h = 5381
  for _, p in ipairs(model:parameters()) do
    for _, v in ipairs(H.flat(p:detach():double())) do
      local m, e = math.frexp(v)
      h = bit.tobit(bit.bxor(bit.lshift(h, 5) + h, math.floor(m * 2 ^ 31)) + e)
    end
  end
  return h
end

local function train(threads, model_name)
  local nn, F, optim = torch.nn, torch.nn.functional, torch.optim
  torch.set_num_threads(threads)
  torch.manual_seed(1)
  local model
  if model_name == "lenet" then
    model = nn.Sequential(nn.Conv2d(1, 6, 5, { padding = 2 }), nn.ReLU(), nn.MaxPool2d(2),
      nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 10))
  else
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))
  end
  local opt = optim.Adam(model:parameters(), { lr = 3e-3 })
  local loader = torch.data.DataLoader(torch.vision.SyntheticDigits(640), { batch_size = 32, shuffle = true })
  local last
  for _ = 1, 2 do
    for _, x, y in loader:iter() do
      opt:zero_grad()
      local loss = F.cross_entropy(model(x), y)
      loss:backward()
      opt:step()
      last = loss:item()
    end
  end
  return hash(model), last
end

describe("training on digits", function()
  local before = torch.get_num_threads()
  after_each(function() torch.set_num_threads(before) end)

  for _, name in ipairs { "mlp", "lenet" } do
    it("gives the same bits over runs and threads: " .. name, function()
      local first, loss = train(1, name)
      assert.is_true(loss < 2.2, "the loss stays at " .. loss)
      assert.equals(first, (train(1, name)))
      assert.equals(first, (train(2, name)))
      assert.equals(first, (train(3, name)))
    end)
  end
end)
