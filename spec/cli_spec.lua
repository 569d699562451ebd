-- bin/moontorch: what scripts see, where errors point, exit codes; and plain luajit beside it.
local H = require "spec.helper"

local function moontorch(args) return H.run("./bin/moontorch " .. args) end

describe("bin/moontorch", function()
  it("runs code with torch, nn, F and optim set", function()
    local status, out = moontorch "-e 'print(torch.ones(2,2):sum():item(), nn.Linear, F.relu, optim.SGD)'"
    assert.equals(0, status)
    assert.truthy(out:find("^4"))
    assert.is_nil(out:find("nil", 1, true))
  end)

  it("sets no globals in a script, and fills arg", function()
    local path = H.file "print(torch, nn, arg[0] == ..., arg[1], arg[2], #arg, select('#', ...), (...))"
    local status, out = moontorch(path .. " one 'two words'")
    os.remove(path)
    assert.equals(0, status)
    assert.equals("nil\tnil\tfalse\tone\ttwo words\t2\t2\tone\n", out)
  end)

  it("gives the user's file and line first, and status 1", function()
    local path = H.file "local torch = require 'moontorch'\n\ntorch.ones(2):matmul(torch.ones(3))\n"
    local status, out, err = moontorch(path)
    assert.equals(1, status)
    assert.equals("", out)
    assert.equals(path .. ":3:", err:sub(1, #path + 3))
    os.remove(path)
    status, out, err = moontorch "-e 'error(\"boom\")'"
    assert.equals(1, status)
    assert.equals("", out)
    assert.truthy(err:find("boom", 1, true))
  end)

  it("keeps the position of an error in a function that the library called", function()
    local path = H.file [[
local torch = require "moontorch"
torch.no_grad(function()
  torch.scope(function()
    local x = torch.ones(2, 3)
    local y = x:sum(5)
    return y
  end)
end)
]]
    local _, _, err = moontorch(path)
    assert.equals(path .. ":5:", err:sub(1, #path + 3))
    os.remove(path)
  end)

  it("says what it cannot open, and status 1; a wrong option gives 2", function()
    local status, _, err = moontorch "/nonexistent/script.lua"
    assert.equals(1, status)
    assert.truthy(err:find("/nonexistent/script.lua", 1, true))
    assert.equals(2, (moontorch "--no-such-option"))
  end)

  it("passes a script's own exit code on", function()
    assert.equals(3, (moontorch "-e 'os.exit(3)'"))
    assert.equals(3, (moontorch "-e 'os.exit(3, true)'"))
  end)

  it("reads a script from standard input", function()
    local status, out = H.run "sh -c 'echo \"print(...)\" | ./bin/moontorch - a b'"
    assert.equals(0, status)
    assert.equals("a\tb\n", out)
  end)

  it("has a version and a help text", function()
    local status, out = moontorch "-v"
    assert.equals(0, status)
    assert.truthy(out:find("^moontorch "))
    status, out = moontorch "-h"
    assert.equals(0, status)
    assert.truthy(out:find("usage", 1, true))
  end)

  it("runs lines, prints expressions and survives errors with -i", function()
    local status, out, err = H.run
      [[sh -c 'printf "x = 2\n= x + 1\nerror(1)\nx * 10\nfor i = 1, 2 do\nx = x + i\nend\nx\n" | ./bin/moontorch -i']]
    assert.equals(0, status)
    assert.truthy(out:find("3\n", 1, true))
    assert.truthy(out:find("20\n", 1, true))
    assert.truthy(out:find("5\n", 1, true))
    assert.truthy(err:find("1", 1, true))
  end)

  it("works through a link and from another folder", function()
    local link = os.tmpname()
    os.remove(link)
    local pwd = io.popen("pwd"):read("*l")
    assert(os.execute(("ln -s %s/bin/moontorch %s"):format(pwd, link)) == 0)
    local status, out = H.run(("sh -c 'cd / && %s -e \"print(torch.ones(3):sum():item())\"'"):format(link))
    os.remove(link)
    assert.equals(0, status)
    assert.equals("3\n", out)
  end)
end)

describe("plain luajit", function()
  it("requires moontorch with the paths set", function()
    local status, out = H.run [[luajit -e 'local t = require "moontorch" print(t.ones(2):sum():item())']]
    assert.equals(0, status)
    assert.equals("2\n", out)
  end)

  it("gets no globals from require", function()
    local status, out, err = H.run
      [[luajit -e 'local before = {} for k in pairs(_G) do before[k] = true end
        local torch = require "moontorch" torch.nn.Linear(2, 2)(torch.ones(1, 2)):sum():backward()
        for k in pairs(_G) do if not before[k] then print(k) end end']]
    assert.equals("", err)
    assert.equals(0, status)
    assert.equals("", out)
  end)
end)
