-- Fits y = 2 a - 3.4 b + 4.2 to noisy data with minibatches, every step written by hand.
--
--     moontorch examples/linear_regression.lua

local torch = require "moontorch"

torch.manual_seed(1)
local true_w, true_b = torch.tensor({{2}, {-3.4}}), 4.2
local n, batch, lr = 1000, 10, 0.03
local features = torch.randn(n, 2)
local labels = features:matmul(true_w) + true_b + torch.randn(n, 1) * 0.01

local w = (torch.randn(2, 1) * 0.01):requires_grad_(true)
local b = torch.zeros(1, {requires_grad = true})

local function step(rows)
  local x, y = features[rows], labels[rows]
  local loss = ((x:matmul(w) + b - y) ^ 2):mean()
  loss:backward()
  torch.no_grad(function()
    w:sub_(w.grad * lr)
    b:sub_(b.grad * lr)
  end)
  w.grad, b.grad = nil, nil
end

local loss
for epoch = 1, 3 do
  local order = torch.randperm(n)
  for start = 1, n, batch do
    torch.scope(step, order:narrow(1, start, batch))
  end
  loss = torch.no_grad(function()
    return ((features:matmul(w) + b - labels) ^ 2):mean():item()
  end)
  print(("epoch %d  loss %.6f"):format(epoch, loss))
end

print("w", w:detach():view(-1))
print("b", b:detach())
if loss > 2e-4 then
  io.stderr:write("the loss stayed above 0.0002\n")
  os.exit(1)
end
