local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{{2, 3}, 1.5}"] = {{dtype="float32", sizes={2,3}, {1.5,1.5,1.5,1.5,1.5,1.5}}},
  ["{{}, 2}"] = {{dtype="float32", sizes={}, {2}}},
  ["{{4}, 7, {dtype=torch.int16}}"] = {{dtype="int16", sizes={4}, {7,7,7,7}}},
  ["{{2}, true}"] = {{dtype="bool", sizes={2}, {1,1}}},
}
