-- Every allocation may fail. One failure is made good by collecting and trying again: the result
-- has the bits of an undisturbed run. A lasting failure raises "out of memory", leaves arguments,
-- generators and gradients as they were, and nothing leaks.
local H = require "spec.helper"
local S = require "spec.ops.samples"
local D = require "spec.ops.driver"
local exempt = require "spec.golden.exempt"
local core = require "moontorch.core"
local torch = H.torch

local fail, asked = core.debug_fail_alloc, core.debug_allocs

local function bits(list)
  local parts = {}
  for _, x in ipairs(list) do
    if torch.is_tensor(x) then
      for _, v in ipairs(H.flat(x:detach())) do parts[#parts + 1] = ("%.17g"):format(v) end
      parts[#parts + 1] = tostring(x.shape)
    else
      parts[#parts + 1] = tostring(x)
    end
  end
  return table.concat(parts, " ")
end

-- How many allocations fn asks for when nothing fails.
local function count(fn)
  local before = asked()
  fn()
  return asked() - before
end

local function results(...)
  local first = ...
  return type(first) == "table" and not torch.is_tensor(first) and first or { ... }
end

-- Lets every allocation fail in turn. make() gives a function to call and one that tells the
-- state of its arguments as text; compare: whether its results are to be looked at.
local function disturb(what, make, compare)
  torch.manual_seed(5)
  local fn = make()
  fn()
  torch.manual_seed(5)
  fn = make()
  local wanted
  local n = count(function() wanted = results(fn()) end)
  wanted = bits(wanted)
  for k = 1, n do
    -- one failure
    torch.manual_seed(5)
    local again = make()
    fail(k, false)
    local ok, got = pcall(function() return results(again()) end)
    fail(0, false)
    if not ok then error(("%s: allocation %d failed once: %s"):format(what, k, tostring(got)), 0) end
    if compare and bits(got) ~= wanted then error(("%s: allocation %d failed once: other bits"):format(what, k), 0) end
    -- a lasting one
    torch.manual_seed(5)
    local state
    again, state = make()
    local before = state()
    local alive = torch.memory_stats().tensors
    fail(k, true)
    ok, got = pcall(function() return (again()) end)
    fail(0, false)
    if ok then error(("%s: allocation %d of %d fails lastingly, nothing is raised"):format(what, k, n), 0) end
    if not tostring(got):find("out of memory", 1, true) then
      error(("%s: allocation %d: the message is %s"):format(what, k, tostring(got)), 0)
    end
    if state() ~= before then error(("%s: allocation %d: the state has changed"):format(what, k), 0) end
    H.collect()
    if torch.memory_stats().tensors > alive then
      error(("%s: allocation %d: tensors leak"):format(what, k), 0)
    end
  end
end

describe("a failing allocation", function()
  after_each(function() fail(0, false) end)

  for _, name in ipairs(core.op_list()) do
    local info = core.op_info(name)
    if info.samples and not info.hidden then
      it("in " .. name, function()
        local op = D.op(name)
        local sample = op.samples[1]
        disturb(name .. " " .. sample.text, function()
          local args, n, tensors = S.args(torch, sample, {})
          return function() return op.fn(unpack(args, 1, n)) end, function()
            return bits(tensors) .. bits { core.get_rng_state() }
          end
        end, not exempt[name] or not exempt[name]:find("memory", 1, true))
      end)
    end
  end

  it("in backward", function()
    disturb("backward", function()
      local w = torch.ones(3, 4, { requires_grad = true })
      local x = torch.randn(5, 3)
      local loss = torch.softmax(x:matmul(w), 2):select(2, 1):sum()
      return function()
        loss:backward { retain_graph = true }
        return w.grad
      end, function() return bits { w, w.grad or "no grad" } end
    end, true)
  end)

  it("in an optimizer's step", function()
    disturb("Adam", function()
      local p = torch.ones(4, { requires_grad = true })
      local q = torch.ones(2, 2, { requires_grad = true })
      p.grad, q.grad = torch.ones(4), torch.ones(2, 2)
      local opt = torch.optim.Adam({ p, q }, { lr = 0.1 })
      return function()
        opt:step()
        return p, q
      end, function() return bits { p, q } end
    end, true)
  end)
end)
