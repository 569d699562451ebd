-- A single neuron that tells two clouds of points apart: logistic regression with a hand-written
-- loop over the binary cross-entropy.
--
--     moontorch examples/logistic_perceptron.lua

local torch = require "moontorch"
local F = torch.nn.functional

torch.manual_seed(1)
local n = 200
local points = torch.cat({torch.randn(n, 2) + 2, torch.randn(n, 2) - 2})
local targets = torch.cat({torch.ones(n), torch.zeros(n)})

local w = torch.zeros(2, {requires_grad = true})
local b = torch.zeros(1, {requires_grad = true})
local lr = 0.5

for step = 1, 100 do
  torch.scope(function()
    local logits = points:matmul(w) + b
    local loss = F.binary_cross_entropy_with_logits(logits, targets)
    loss:backward()
    torch.no_grad(function()
      for _, p in ipairs {w, b} do
        p:sub_(p.grad * lr)
        p.grad = nil
      end
    end)
    if step % 20 == 0 then print(("step %3d  loss %.4f"):format(step, loss:item())) end
  end)
end

local accuracy = torch.no_grad(function()
  local right = (points:matmul(w) + b):gt(0):eq(targets:gt(0.5))
  return 100 * right:sum():item() / (2 * n)
end)
print(("accuracy %.2f%%"):format(accuracy))
if accuracy < 98 then
  io.stderr:write("the accuracy stayed below 98%\n")
  os.exit(1)
end
