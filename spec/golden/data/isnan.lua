local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4)}"] = {{dtype="bool", sizes={3,4}, {0,0,0,0,0,0,0,0,0,0,0,0}}},
  ["{i(2,3)}"] = {{dtype="bool", sizes={2,3}, {0,0,0,0,0,0}}},
  ["{f()}"] = {{dtype="bool", sizes={}, {0}}},
  ["{t(f(3,4))}"] = {{dtype="bool", sizes={4,3}, {0,0,0,0,0,0,0,0,0,0,0,0}}},
}
