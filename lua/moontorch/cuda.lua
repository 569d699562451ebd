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

--- Bytes of live tensors on the device; the most there were since the last reset; and what the
--- allocator holds from the driver, cached blocks included.
---@param device? string
---@return integer
function cuda.memory_allocated(device)
  return cuda.is_available() and cuda.memory_stats(device).live or 0
end

---@param device? string
---@return integer
function cuda.max_memory_allocated(device)
  return cuda.is_available() and cuda.memory_stats(device).peak or 0
end

---@param device? string
---@return integer
function cuda.memory_reserved(device)
  if not cuda.is_available() then return 0 end
  local stats = cuda.memory_stats(device)
  return stats.live + stats.cached
end

---@param device? string
function cuda.reset_peak_memory_stats(device)
  if cuda.is_available() then core.reset_peak_memory_stats(device or "cuda") end
end

--- The device that "cuda" without a number means, counted from 0.
---@return integer
function cuda.current_device()
  if not cuda.is_available() then fail("torch.cuda.current_device: there is no CUDA device") end
  return 0
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
