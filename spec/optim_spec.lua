-- Optimizers and schedules against values made with PyTorch: six steps on
-- (p1^2 w).sum() + exp(p2).sum().
local H = require "spec.helper"
local torch = H.torch
local optim = torch.optim

local optimizers = {
  { "SGD", { lr = 0.1 },
    { 0.131072, -0.046656, 0.008191997, 0.393216, 0.011664, -0.003071999, -0.4265565, -0.611092, -0.3168413 } },
  { "SGD", { lr = 0.05, momentum = 0.9 },
    { -0.128304, 0.708974, -1.333456, -0.3849119, -0.1772435, 0.5000459, -0.741816, -0.8466702, -0.6987835 } },
  { "SGD", { lr = 0.05, momentum = 0.9, dampening = 0.3, weight_decay = 0.1 },
    { -0.05285856, 0.6231149, -1.539065, -0.1585757, -0.1557787, 0.5771495, -0.5758689, -0.6981539, -0.5171965 } },
  { "SGD", { lr = 0.02, momentum = 0.9, nesterov = true, weight_decay = 0.01 },
    { 0.1452556, 0.1280521, -0.6826777, 0.4357668, -0.03201304, 0.2560042, -0.3367994, -0.5311014, -0.2228363 } },
  { "SGD", { lr = 0.02, maximize = true },
    { 0.6326595, -1.586874, 3.947645, 1.897978, 0.3967186, -1.480367, 0.2405039, -0.09750944, 0.4739459 } },
  { "Adam", { lr = 0.1 },
    { -0.04743154, -0.4142365, 1.405132, 0.9076362, -0.1353084, -0.1734927, -0.4894114, -0.7894115, -0.2894115 } },
  { "Adam", { lr = 0.1, betas = { 0.8, 0.9 }, eps = 1e-3, weight_decay = 0.1 },
    { -0.04007985, -0.4156746, 1.405619, 0.9084893, -0.1048331, -0.1759796, -0.4861761, -0.7843903, -0.2869326 } },
  { "Adam", { lr = 0.3, amsgrad = true },
    { -0.199462, 0.4243936, 0.2879882, -0.1422946, 0.1253994, 0.4059252, -1.56572, -1.86572, -1.36572 } },
  { "Adam", { lr = 0.1, maximize = true },
    { 1.103178, -1.603657, 2.602614, 2.103101, 0.8484617, -1.353783, 0.7038075, 0.4038076, 0.9038075 } },
  { "AdamW", { lr = 0.1 },
    { -0.04855757, -0.4099385, 1.394782, 0.9002987, -0.1349835, -0.1707468, -0.4885287, -0.786774, -0.2896984 } },
  { "AdamW", { lr = 0.1, weight_decay = 0.3, amsgrad = true },
    { -0.07652461, -0.2964681, 1.118295, 0.7049296, -0.1251717, -0.09913737, -0.4633752, -0.7143825, -0.2960143 } },
}

-- the second parameter has no gradient in steps 1, 2 and 5
local skipped = {
  { "SGD", { lr = 0.05, momentum = 0.9 },
    { -0.128304, 0.708974, -1.333456, -0.3849119, -0.1772435, 0.5000459, -0.1963141, -0.4220116, -0.05851304 } },
  { "Adam", { lr = 0.1 },
    { -0.04743154, -0.4142365, 1.405132, 0.9076362, -0.1353084, -0.1734927, -0.1985965, -0.4985965, 0.001403518 } },
  { "Adam", { lr = 0.3, amsgrad = true },
    { -0.199462, 0.4243936, 0.2879882, -0.1422946, 0.1253994, 0.4059252, -0.7801921, -1.080192, -0.5801921 } },
}

-- rates after each of 12 steps
local schedulers = {
  { "StepLR", { step_size = 3, gamma = 0.5 },
    { 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125, 0.0125, 0.0125, 0.00625 } },
  { "ExponentialLR", { gamma = 0.9 },
    { 0.09, 0.081, 0.0729, 0.06561, 0.059049, 0.0531441, 0.04782969, 0.04304672, 0.03874205,
      0.03486784, 0.03138106, 0.02824295 } },
  { "CosineAnnealingLR", { T_max = 5, eta_min = 0.01 },
    { 0.09140576, 0.06890576, 0.04109424, 0.01859424, 0.01, 0.01859424, 0.04109424, 0.06890576,
      0.09140576, 0.1, 0.09140576, 0.06890576 } },
  { "LinearLR", {},
    { 0.04666667, 0.06, 0.07333333, 0.08666667, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1 } },
  { "LinearLR", { start_factor = 0.5, end_factor = 0.1, total_iters = 4 },
    { 0.04, 0.03, 0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01 } },
  { "LambdaLR", { lr_lambda = function(e) return 0.5^e end },
    { 0.05, 0.025, 0.0125, 0.00625, 0.003125, 0.0015625, 0.00078125, 0.000390625,
      0.0001953125, 9.765625e-05, 4.882813e-05, 2.441406e-05 } },
}

local function params()
  return torch.tensor({ { 0.5, -1, 2 }, { 1.5, 0.25, -0.75 } }, { requires_grad = true }),
    torch.tensor({ 0.1, -0.2, 0.3 }, { requires_grad = true })
end

local w = torch.tensor { 1, 2, 3 }

local function step(opt, a, b, without_b)
  opt:zero_grad()
  local loss = (a * a * w):sum()
  if not without_b then loss = loss + b:exp():sum() end
  loss:backward()
  opt:step()
end

local function values(a, b)
  return torch.cat { a:detach():view(-1), b:detach() }
end

local near = { rtol = 2e-5, atol = 1e-6 }

describe("optimizers", function()
  for _, case in ipairs(optimizers) do
    it(("%s %s"):format(case[1], torch.repr(case[2])), function()
      local a, b = params()
      local opt = optim[case[1]]({ a, b }, case[2])
      for _ = 1, 6 do step(opt, a, b) end
      H.close(values(a, b), case[3], near)
    end)
  end

  for _, case in ipairs(skipped) do
    it(("%s with a parameter that has no gradient at times %s"):format(case[1], torch.repr(case[2])), function()
      local a, b = params()
      local opt = optim[case[1]]({ a, b }, case[2])
      for k = 1, 6 do step(opt, a, b, k == 1 or k == 2 or k == 5) end
      H.close(values(a, b), case[3], near)
    end)
  end

  it("go on from a saved state as if nothing had happened", function()
    for _, case in ipairs { optimizers[2], optimizers[8], optimizers[11] } do
      local a, b = params()
      local opt = optim[case[1]]({ a, b }, case[2])
      for _ = 1, 3 do step(opt, a, b) end
      local path = os.tmpname()
      torch.save(opt:state_dict(), path)
      local other = optim[case[1]]({ a, b }, { lr = 7 })
      other:load_state_dict(torch.load(path))
      os.remove(path)
      for _ = 1, 3 do step(other, a, b) end
      H.close(values(a, b), case[3], near)
    end
  end)

  it("name their state where the parameters came with names", function()
    local net = torch.nn.Sequential(torch.nn.Linear(2, 3))
    local opt = optim.Adam(net:named_parameters(), { lr = 0.1 })
    net(torch.ones(1, 2)):sum():backward()
    opt:step()
    local state = opt:state_dict()
    assert.equals(1, state.state["1.weight"].step)
    assert.same({ "1.weight", "1.bias" }, state.param_groups[1].params)
    opt:load_state_dict(state)
  end)

  it("take groups with options of their own", function()
    local a, b = params()
    local opt = optim.SGD({ { params = { a }, lr = 0.5 }, { params = { b } } }, { lr = 0.1 })
    a.grad, b.grad = torch.ones(2, 3), torch.ones(3)
    opt:step()
    H.close(a:detach(), { { 0, -1.5, 1.5 }, { 1, -0.25, -1.25 } })
    H.close(b:detach(), { 0, -0.3, 0.2 })
    opt.param_groups[2].lr = 1
    opt:step()
    H.close(b:detach(), { -1, -1.3, -0.8 })
  end)

  it("clear gradients, to nothing or to zero", function()
    local a, b = params()
    local opt = optim.SGD({ a, b }, { lr = 0.1 })
    a.grad = torch.ones(2, 3)
    opt:zero_grad { set_to_none = false }
    H.close(a.grad, { { 0, 0, 0 }, { 0, 0, 0 } })
    opt:zero_grad()
    assert.is_nil(a.grad)
    opt:step()
    a.grad = torch.ones(2, 3)
    opt:step()
    opt:zero_grad()
    assert.is_nil(a.grad)
  end)

  it("call a closure with gradients on, and return its loss", function()
    local a, b = params()
    local opt = optim.SGD({ a, b }, { lr = 0.1 })
    local loss = torch.no_grad(function()
      return opt:step(function()
        local y = (a * a):sum() + b:sum()
        y:backward()
        return y
      end)
    end)
    assert.is_true(torch.is_tensor(loss))
    H.close(b:detach(), { 0, -0.3, 0.2 })
  end)

  it("are ten lines in Lua", function()
    local Sign, parent = torch.class("Sign", optim.Optimizer)
    function Sign:__init(p, options) parent.__init(self, p, options, { lr = 0.01 }) end
    function Sign:update(p, grad, group, state)
      state.steps = (state.steps or 0) + 1
      state.mean = state.mean and state.mean * 0.5 + grad or grad:clone()
      p:sub_(state.mean:sign() * group.lr)
    end
    local a, b = params()
    local opt = Sign({ a, b }, { lr = 0.5 })
    for _ = 1, 2 do torch.scope(step, opt, a, b) end
    H.close(b:detach(), { -0.9, -1.2, -0.7 })
    assert.equals(2, opt.state[b].steps)
    H.raises(function() Sign({ a }, { rate = 1 }) end, "unknown option 'rate'", "lr")
  end)

  it("say what is wrong", function()
    local a, b = params()
    H.raises(function() optim.SGD({ a, b }, { lr = 0.1, momentun = 0.9 }) end, "momentun", "did you mean 'momentum'?")
    H.raises(function() optim.SGD({}, { lr = 0.1 }) end, "empty parameter list")
    H.raises(function() optim.SGD(a, { lr = 0.1 }) end, "list of tensors")
    H.raises(function() optim.SGD({ a, a }, { lr = 0.1 }) end, "twice")
    H.raises(function() optim.SGD({ a * 2 }, { lr = 0.1 }) end, "non-leaf")
    H.raises(function() optim.SGD({ a }, { lr = -1 }) end, "optim_spec.lua:", "invalid learning rate")
    H.raises(function() optim.SGD({ a }, { lr = 0.1, nesterov = true }) end, "Nesterov")
    H.raises(function() optim.Adam({ a }, { betas = { 1, 0.9 } }) end, "beta parameter 1")
  end)
end)

describe("schedulers", function()
  for _, case in ipairs(schedulers) do
    it(case[1], function()
      local a, b = params()
      local opt = optim.SGD({ a, b }, { lr = 0.1 })
      local schedule = optim.lr_scheduler[case[1]](opt, case[2])
      for k, rate in ipairs(case[3]) do
        step(opt, a, b)
        schedule:step()
        assert.is_true(H.near(opt.param_groups[1].lr, rate, 1e-6, 1e-12), ("step %d"):format(k))
        assert.equals(opt.param_groups[1].lr, schedule:get_last_lr()[1])
      end
    end)
  end

  it("go on from a saved state", function()
    local a, b = params()
    local opt = optim.SGD({ a, b }, { lr = 0.1 })
    local schedule = optim.lr_scheduler.StepLR(opt, 3, 0.5)
    for _ = 1, 4 do schedule:step() end
    local state = schedule:state_dict()
    local again = optim.lr_scheduler.StepLR(opt, 3, 0.5)
    again:load_state_dict(state)
    for _ = 1, 2 do again:step() end
    assert.is_true(H.near(opt.param_groups[1].lr, 0.025, 1e-9, 0))
  end)
end)
