local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{b(3,4)}"] = {{dtype="bool", sizes={}, {1}}},
  ["{b(3,4), 2, {keepdim=true}}"] = {{dtype="bool", sizes={3,1}, {1,1,1}}},
  ["{b(2,3,4), {1,3}}"] = {{dtype="bool", sizes={3}, {1,1,1}}},
  ["{f(3)}"] = {{dtype="bool", sizes={}, {1}}},
  ["{b()}"] = {{dtype="bool", sizes={}, {0}}},
  ["{b(0,3), 1}"] = {{dtype="bool", sizes={3}, {0,0,0}}},
}
