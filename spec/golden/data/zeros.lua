local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{2, 3}"] = {{dtype="float32", sizes={2,3}, {0,0,0,0,0,0}}},
  ["{{2, 0}}"] = {{dtype="float32", sizes={2,0}, {}}},
  ["{{}}"] = {{dtype="float32", sizes={}, {0}}},
  ["{4, {dtype=torch.int64}}"] = {{dtype="int64", sizes={4}, {0,0,0,0}}},
}
