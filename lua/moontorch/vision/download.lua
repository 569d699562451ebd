-- vision/download.lua: fetches public data sets with curl, and believes only what has the right
-- checksum. Nothing here raises: a machine without network or curl gets `nil, why`.

local download = {}

-- Where MNIST's files may come from, tried in order; the file names are the same everywhere.
local mnist_mirrors = {
  "https://ossci-datasets.s3.amazonaws.com/mnist/",
  "https://storage.googleapis.com/cvdf-datasets/mnist/",
}

-- md5 of the gzipped files, as all mirrors carry them.
local mnist_files = {
  {"train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"},
  {"train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"},
  {"t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"},
  {"t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"},
}

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Runs a command quietly; true when it succeeds. (Lua 5.1 gives a number, 5.2 a boolean.)
local function run(command)
  local result = os.execute(command .. " >/dev/null 2>&1")
  return result == 0 or result == true
end

local function md5(path)
  local pipe = io.popen("md5sum " .. quoted(path) .. " 2>/dev/null")
  if not pipe then return nil end
  local sum = (pipe:read("*a") or ""):match("^%x+")
  pipe:close()
  return sum
end

-- Fetches one file to `path`, from the first mirror that has it right.
local function fetch(mirrors, name, sum, path)
  local part = path .. ".part"
  local why = "no mirror could be reached"
  for _, mirror in ipairs(mirrors) do
    local command = "curl --fail --silent --location --connect-timeout 5 --max-time 60 --output "
      .. quoted(part) .. " " .. quoted(mirror .. name)
    if run(command) then
      local got = md5(part)
      if got == sum then
        local ok, message = os.rename(part, path)
        if ok then return true end
        why = message
      else
        why = ("%s from %s has the wrong checksum"):format(name, mirror)
      end
    end
    os.remove(part)
  end
  return nil, ("%s could not be fetched: %s"):format(name, why)
end

--- Fetches the four files of MNIST into a folder, which is made when it is not there. Files that
--- are there with the right checksum stay.
---@param root string
---@return boolean|nil ok
---@return string|nil why
function download.mnist(root)
  if not run("command -v curl") then return nil, "curl is not installed" end
  if not run("mkdir -p " .. quoted(root)) then
    return nil, ("the folder '%s' cannot be made"):format(root)
  end
  for _, file in ipairs(mnist_files) do
    local path = root .. "/" .. file[1]
    if md5(path) ~= file[2] then
      local ok, why = fetch(mnist_mirrors, file[1], file[2], path)
      if not ok then return nil, why end
    end
  end
  return true
end

return download
