local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="bool", sizes={3,4}, {1,1,1,1,1,1,1,1,1,1,1,1}}},
  ["{i(2,3)}"] = {{dtype="bool", sizes={2,3}, {1,1,1,1,1,1}}},
  ["{f()}"] = {{dtype="bool", sizes={}, {1}}},
  ["{t(f(3,4))}"] = {{dtype="bool", sizes={4,3}, {1,1,1,1,1,1,1,1,1,1,1,1}}},
}
