-- Results do not depend on the number of threads: sizes large enough to be split, the same bits
-- for 1, 2, 3 and 7 threads, forward and backward.
local H = require "spec.helper"
local torch = H.torch
local F = torch.nn.functional

local function int64(list) return torch.tensor(list, { dtype = torch.int64 }) end

local function positions(n, high)
  local list = {}
  for k = 1, n do list[k] = (k * 7919) % high + 1 end
  return int64(list)
end

local cases = {
  { "sum and mean", function(x) return x:sum(), x:mean(1), x:sum(2), x:sum(1) end },
  { "prod, max, min, argmax", function(x) return (x * 0.01 + 1):prod(), x:max(), x:min(), x:argmax(2) end },
  { "var and norm", function(x) return x:var(), x:std(1) end },
  { "pointwise", function(x) return torch.exp(x) * torch.tanh(x) + torch.sigmoid(x) / (x * x + 1) end },
  { "broadcasting", function(x) return x + x:select(1, 3), x * x:narrow(2, 1, 1) end },
  { "transposed copy", function(x) return (x:t() * 2):contiguous() end },
  { "softmax and log_softmax", function(x) return torch.softmax(x, 2), torch.log_softmax(x, 1) end },
  { "cumsum", function(x) return x:cumsum(1), x:cumsum(2) end },
  { "matmul", function(x) return x:matmul(x:t()), x:t():matmul(x) end },
  { "layer_norm", function(x) return F.layer_norm(x, { x:size(2) }) end },
  { "cross_entropy", function(x) return F.cross_entropy(x, positions(x:size(1), x:size(2))) end },
  { "embedding", function(x) return F.embedding(positions(5000, x:size(1)), x) end },
  { "gather and scatter", function(x)
    local i = positions(x:numel(), x:size(1)):view(x.shape)
    return x:gather(1, i), torch.zeros_like(x):scatter_add(1, i, x)
  end },
  { "index and index_add", function(x)
    local i = positions(3000, x:size(1))
    return x[i], torch.zeros_like(x):index_add(1, i, x[i])
  end },
  { "sort and topk", function(x) return x:sort(2), x:topk(5, 1) end },
  { "conv2d and max_pool2d", function(x)
    local images = x:narrow(1, 1, 300):narrow(2, 1, 200):reshape(15, 4, 25, 40)
    local weight = x:narrow(1, 1, 6):narrow(2, 1, 36):reshape(6, 4, 3, 3)
    return F.max_pool2d(F.conv2d(images, weight, nil, { padding = 1 }), 2)
  end },
}

describe("the number of threads does not change", function()
  local before = torch.get_num_threads()
  after_each(function() torch.set_num_threads(before) end)

  for _, case in ipairs(cases) do
    it(case[1], function()
      local wanted
      for _, threads in ipairs { 1, 2, 3, 7 } do
        torch.set_num_threads(threads)
        torch.manual_seed(3)
        local x = torch.randn(401, 259, { requires_grad = true })
        local results = { case[2](x) }
        local total
        for k, y in ipairs(results) do
          if y.requires_grad then
            local part = (y * (k + 0.5)):sum()
            total = total and total + part or part
          end
        end
        if total then
          total:backward()
          results[#results + 1] = x.grad
        end
        if not wanted then
          wanted = results
        else
          for k, y in ipairs(results) do
            local same = torch.equal and torch.equal(y, wanted[k]) or y:eq(wanted[k]):all():item()
            assert.is_true(same == true or same == 1, ("result %d with %d threads"):format(k, threads))
          end
        end
      end
    end)
  end

  it("random numbers", function()
    local wanted
    for _, threads in ipairs { 1, 2, 3, 7 } do
      torch.set_num_threads(threads)
      torch.manual_seed(11)
      local got = { torch.rand(100003), torch.randn(50001), torch.randperm(4001), torch.randint(1, 100, { 70001 }),
        F.dropout(torch.ones(90001), 0.3) }
      wanted = wanted or got
      for k, y in ipairs(got) do H.close(y:double():sum(), wanted[k]:double():sum(), { rtol = 0, atol = 0 }) end
      for k, y in ipairs(got) do assert.is_true(y:eq(wanted[k]):all():item() ~= false) end
    end
  end)
end)
