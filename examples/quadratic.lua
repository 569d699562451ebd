-- Minimises (x - 3)^2 by gradient descent, written by hand.
--
--     moontorch examples/quadratic.lua

local torch = require "moontorch"

local x = torch.tensor(10, {requires_grad = true})
local lr = 0.1

for step = 1, 60 do
  local y = (x - 3) ^ 2
  y:backward()
  torch.no_grad(function()
    x:sub_(x.grad * lr)
  end)
  x.grad = nil
  if step % 10 == 0 then print(("step %2d  x %.6f  y %.2e"):format(step, x:item(), y:item())) end
end

if math.abs(x:item() - 3) > 1e-3 then
  io.stderr:write("x did not reach 3\n")
  os.exit(1)
end
