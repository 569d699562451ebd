-- autograd/init.lua: torch.autograd.
--
-- grad and Function come from the binding; what is written over them is in autograd/check.lua
-- (gradcheck, gradgradcheck) and autograd/functional.lua (jacobian, hessian, vjp, jvp).

local core = require "moontorch.core"
local fail = require "moontorch.fail"
local suggest = require "moontorch.suggest"

---@class torch.autograd
local autograd = {
  Function = core.Function,
  enable_grad = core.enable_grad,
  grad = core.autograd_grad,
  inference_mode = core.inference_mode,
  no_grad = core.no_grad,
  set_grad_enabled = core.set_grad_enabled,
}

local files = {
  gradcheck = "moontorch.autograd.check",
  gradgradcheck = "moontorch.autograd.check",
  hessian = "moontorch.autograd.functional",
  jacobian = "moontorch.autograd.functional",
  jvp = "moontorch.autograd.functional",
  vjp = "moontorch.autograd.functional",
}

return setmetatable(autograd, {
  __index = function(self, name)
    if not files[name] then
      local names = {}
      for known in pairs(self) do names[#names + 1] = known end
      for known in pairs(files) do names[#names + 1] = known end
      fail("torch.autograd has no '%s'%s", tostring(name),
        suggest.suggestion(tostring(name), names))
    end
    local value = require(files[name])[name]
    rawset(self, name, value)
    return value
  end,
})
