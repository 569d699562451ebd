-- Memory: a loop that makes temporaries needs no collectgarbage(); scopes and release give back at
-- once; counters tell the truth; nothing reads freed memory.
local H = require "spec.helper"
local torch = H.torch
local GB = 2 ^ 30

local function clock(fn)
  local ffi = require "ffi"
  pcall(ffi.cdef, "typedef struct { long s, n; } spec_timespec; int clock_gettime(int, spec_timespec *);")
  local t = ffi.new("spec_timespec[2]")
  ffi.C.clock_gettime(1, t[0])
  fn()
  ffi.C.clock_gettime(1, t[1])
  return tonumber(t[1].s - t[0].s) + tonumber(t[1].n - t[0].n) * 1e-9
end

-- A Lua heap of about `mb` megabytes of small tables.
local function heap(mb)
  local list = {}
  for k = 1, mb * 2 ^ 20 / 80 do list[k] = { k } end
  return list
end

describe("temporaries", function()
  local function loop(n, release)
    local x = torch.ones(2621440) -- 10 MB
    for _ = 1, n do
      local y = x + 1
      if release then y:release() end
    end
  end

  for _, case in ipairs { { 1, 2 }, { 500, 6 } } do
    local mb, factor = case[1], case[2]
    it(("of 10 MB, 20,000 of them beside a Lua heap of %d MB, stay small #slow"):format(mb), function()
      H.collect()
      local keep = heap(mb)
      local released = clock(function() loop(20000, true) end)
      H.collect()
      torch.reset_peak_memory_stats()
      local took = clock(function() loop(20000, false) end)
      local peak = torch.memory_stats().peak
      assert.is_true(peak < 1.5 * GB, ("peak %.2f GB"):format(peak / GB))
      assert.is_true(took < factor * released + 1, ("%.2f s against %.2f s"):format(took, released))
      assert.is_not_nil(keep[1])
    end)
  end

  it("of 10 MB, 1,000 of them, stay small", function()
    H.collect()
    torch.reset_peak_memory_stats()
    loop(1000, false)
    local peak = torch.memory_stats().peak
    assert.is_true(peak < 1.5 * GB, ("peak %.2f GB"):format(peak / GB))
  end)

  it("that are small do not pile up either", function()
    H.collect()
    local x = torch.ones(4)
    local before = torch.memory_stats().tensors
    local most = 0
    for k = 1, 300000 do
      local _ = x + 1
      if k % 1000 == 0 then most = math.max(most, torch.memory_stats().tensors - before) end
    end
    assert.is_true(most < 250000, most .. " tensors alive")
  end)
end)

describe("release", function()
  it("frees at once, and the handle says so", function()
    local x = torch.ones(1024, 1024)
    local live = torch.memory_stats().live
    x:release()
    assert.is_true(torch.memory_stats().live <= live - 4 * 2 ^ 20)
    H.raises(function() return x + 1 end, "release")
    x:release()
  end)
end)

describe("scope", function()
  it("closes what was made inside and keeps what is returned", function()
    local inside
    local live = torch.memory_stats().live
    local kept, list = torch.scope(function()
      inside = torch.ones(1024, 256)
      local a = inside * 2
      return a, { inside * 3, { inside * 4 } }
    end)
    H.collect()
    assert.is_true(torch.memory_stats().live <= live + 3 * 2 ^ 20 + 4096)
    assert.equals(2, kept[{ 1, 1 }]:item())
    assert.equals(3, list[1][{ 1, 1 }]:item())
    assert.equals(4, list[2][1][{ 1, 1 }]:item())
    H.raises(function() return inside + 1 end, "torch.scope", "torch.keep")
  end)

  it("keeps what torch.keep was given", function()
    local x
    torch.scope(function() x = torch.keep(torch.ones(3)) end)
    H.close(x, { 1, 1, 1 })
  end)

  it("nests, and closes also when fn raises", function()
    local a
    H.raises(function()
      torch.scope(function()
        torch.scope(function() a = torch.ones(2) end)
        error("boom")
      end)
    end, "boom")
    H.raises(function() return a:sum() end, "torch.scope")
  end)

  it("leaves the graph and gradients alone", function()
    local w = torch.ones(3, { requires_grad = true })
    local loss = torch.scope(function() return (w * 2):sum() end)
    loss:backward()
    H.close(w.grad, { 2, 2, 2 })
    torch.scope(function() (w * 2):sum():backward() end)
    H.close(w.grad, { 4, 4, 4 })
  end)

  it("keeps what is assigned to a module", function()
    local nn = torch.nn
    local m = nn.Module()
    torch.scope(function()
      m.mask = torch.ones(2)
      m.weight = nn.Parameter(torch.ones(2))
    end)
    H.close(m.mask, { 1, 1 })
    H.close(m.weight, { 1, 1 })
  end)
end)

describe("counters", function()
  it("count live bytes and the peak", function()
    H.collect()
    torch.reset_peak_memory_stats()
    local before = torch.memory_stats()
    local x = torch.ones(1024, 1024)
    local with = torch.memory_stats()
    assert.equals(before.live + 4 * 2 ^ 20, with.live)
    x:release()
    local after = torch.memory_stats()
    assert.equals(before.live, after.live)
    assert.is_true(after.peak >= with.live)
  end)
end)
