-- Every op of the table against everything an op has to hold (README.md beside this file). A new
-- op gets it all for its row.
local D = require "spec.ops.driver"
local core = require "moontorch.core"
local exempt = require "spec.golden.exempt"

describe("op table", function()
  it("has samples and a line of documentation for every op that Lua knows", function()
    local missing = {}
    for _, name in ipairs(core.op_list()) do
      local info = core.op_info(name)
      if not info.hidden and not (info.doc and (info.samples or exempt[name])) then
        missing[#missing + 1] = name
      end
    end
    assert.equals("", table.concat(missing, " "))
  end)

  for _, name in ipairs(core.op_list()) do
    local info = core.op_info(name)
    if info.samples and not info.hidden then
      describe(name, function()
        local op = D.op(name)
        it("gives PyTorch's values", function() D.value(op) end)
        if D.is_differentiable(op) then
          it("has the right gradient", function() D.gradient(op, false) end)
          it("has the right second derivative", function() D.gradient(op, true) end)
        end
        it("takes any layout", function() D.layouts(op) end)
        it("takes expanded inputs", function() D.expanded(op) end)
        for dtype in pairs(op.dtypes) do
          it("runs in " .. dtype, function() D.dtype(op, dtype) end)
        end
        it("says what is wrong", function() D.wrong(op) end)
        if info.method then it("is a method", function() D.method(op) end) end
        if info.inplace then it("works in place", function() D.inplace(op) end) end
        if op.single and not info.view then it("takes out", function() D.out(op) end) end
        it("gives the same bits for any number of threads", function() D.threads(op) end)
        it("leaves nothing alive", function() D.leaks(op) end)
      end)
    end
  end
end)
