-- nn/embedding.lua: Embedding.

local args = require "moontorch.args"
local class = require "moontorch.class"
local core = require "moontorch.core"
local fail = require "moontorch.fail"
local initial = require "moontorch.nn.initial"
local Module = require "moontorch.nn.base"
local Parameter = require("moontorch.nn.parameter").Parameter

local embedding, empty = core.ops.embedding, core.ops.empty

---@class nn.Embedding : nn.Module
---@field weight torch.Tensor (num_embeddings, embedding_dim)
local Embedding = class.class("nn.Embedding", Module)

local read = args.signature("nn.Embedding(int num_embeddings, int embedding_dim, "
  .. "int? padding_idx, *, tensor? _weight, bool _freeze=false, device? device, dtype? dtype)")

--- A table of vectors, looked up by positions 1..num_embeddings. The row padding_idx (1-based,
--- or negative from the end) starts as zeros and gets no gradient.
---@param ... any num_embeddings, embedding_dim, padding_idx
function Embedding:__init(...)
  local rows, dim, padding, weight, freeze, device, dtype = read(...)
  if padding then
    if padding < 0 then padding = rows + 1 + padding end
    if padding < 1 or padding > rows then
      fail("nn.Embedding: padding_idx must be within 1..num_embeddings (%d)", rows)
    end
  end
  self.num_embeddings, self.embedding_dim, self.padding_idx = rows, dim, padding
  if weight then
    if weight:dim() ~= 2 or weight:size(1) ~= rows or weight:size(2) ~= dim then
      fail("nn.Embedding: shape of weight does not match num_embeddings and embedding_dim")
    end
    self.weight = Parameter(weight, not freeze)
  else
    self.weight = Parameter(empty({rows, dim}, {device = device, dtype = dtype}), not freeze)
    self:reset_parameters()
  end
end

--- Draws new vectors from N(0, 1), as PyTorch does.
function Embedding:reset_parameters()
  initial.normal_(self.weight)
  if self.padding_idx then
    core.no_grad(function() self.weight[self.padding_idx] = 0 end)
  end
end

--- An embedding over given vectors, frozen unless {freeze = false}.
---@param vectors torch.Tensor (num_embeddings, embedding_dim)
---@param options? {freeze: boolean, padding_idx: integer}
---@return nn.Embedding
function Embedding.from_pretrained(vectors, options)
  local freeze = true
  if options and options.freeze ~= nil then freeze = options.freeze end
  if not core.is_tensor(vectors) or vectors:dim() ~= 2 then
    fail("nn.Embedding.from_pretrained: expected a tensor of two dimensions")
  end
  return Embedding(vectors:size(1), vectors:size(2), {
    _weight = vectors, _freeze = freeze, padding_idx = options and options.padding_idx,
  })
end

--- (...) of positions -> (..., embedding_dim)
function Embedding:forward(positions)
  local s = self._slots
  return embedding(positions, s.weight, s.padding_idx)
end

function Embedding:extra_repr()
  local tail = self.padding_idx and (", padding_idx=%d"):format(self.padding_idx) or ""
  return ("%d, %d%s"):format(self.num_embeddings, self.embedding_dim, tail)
end

return {Embedding = Embedding}
