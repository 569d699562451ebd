-- cuda.lua: torch.cuda. Everything here is there without a GPU, too; what needs one raises.

local core = require "moontorch.core"
local fail = require "moontorch.fail"
local types = require "moontorch.types"

local cuda = {}

--- How many CUDA devices the plugin can use; 0 without the plugin, a driver or a GPU.
---@return integer
function cuda.device_count()
  return core.device_count("cuda")
end

---@return boolean
function cuda.is_available()
  return cuda.device_count() > 0
end

--- Waits until everything given to the device so far is done, and raises what it noted.
---@param device? string default "cuda"
function cuda.synchronize(device)
  core.synchronize(device or "cuda")
end

--- Live and peak bytes and so on, as torch.memory_stats gives them for the CPU.
---@param device? string
---@return table
function cuda.memory_stats(device)
  return core.memory_stats(device or "cuda")
end

--- Gives cached memory back to the driver.
---@param device? string
function cuda.empty_cache(device)
  if cuda.is_available() then core.empty_cache(device or "cuda") end
end

--- Seeds the generators of all devices.
---@param seed integer
function cuda.manual_seed(seed)
  core.manual_seed(seed)
end

return setmetatable(cuda, {
  __index = function(self, name)
    local constructor = types.on_device(name, "cuda")
    if not constructor then fail("torch.cuda has no '%s'", tostring(name)) end
    rawset(self, name, constructor)
    return constructor
  end,
})
