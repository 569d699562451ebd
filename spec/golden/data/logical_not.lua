local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{b(3,4)}"] = {{dtype="bool", sizes={3,4}, {1,1,1,1,1,0,1,0,0,1,0,0}}},
  ["{f(3,4)}"] = {{dtype="bool", sizes={3,4}, {0,0,0,0,0,0,0,0,0,0,0,0}}},
  ["{i(2,3)}"] = {{dtype="bool", sizes={2,3}, {0,0,0,0,0,0}}},
}
