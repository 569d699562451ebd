-- A small network learns sin(x) on [-3, 3], with modules, Adam, and a loop written by hand.
--
--     moontorch examples/sine_regression.lua

local torch = require "moontorch"
local nn, F, optim = torch.nn, torch.nn.functional, torch.optim

local Sine, parent = torch.class("Sine", nn.Module)

function Sine:__init(width)
  parent.__init(self)
  self.fc1 = nn.Linear(1, width)
  self.fc2 = nn.Linear(width, width)
  self.fc3 = nn.Linear(width, 1)
end

function Sine:forward(x)
  return self.fc3(self.fc2(self.fc1(x):tanh()):tanh())
end

torch.manual_seed(1)
local x = torch.linspace(-3, 3, 256):unsqueeze(2)
local y = x:sin()
local net = Sine(16)
print(net)
local optimizer = optim.Adam(net:parameters(), {lr = 0.01})

local loss
for step = 1, 1000 do
  loss = torch.scope(function()
    optimizer:zero_grad()
    local value = F.mse_loss(net(x), y)
    value:backward()
    optimizer:step()
    return value:item()
  end)
  if step % 200 == 0 then print(("step %4d  loss %.6f"):format(step, loss)) end
end

if loss > 1e-3 then
  io.stderr:write("the loss stayed above 0.001\n")
  os.exit(1)
end
