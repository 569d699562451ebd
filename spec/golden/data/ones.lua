local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{2, 3}"] = {{dtype="float32", sizes={2,3}, {1,1,1,1,1,1}}},
  ["{{2, 0}}"] = {{dtype="float32", sizes={2,0}, {}}},
  ["{{}}"] = {{dtype="float32", sizes={}, {1}}},
  ["{4, {dtype=torch.bool}}"] = {{dtype="bool", sizes={4}, {1,1,1,1}}},
}
