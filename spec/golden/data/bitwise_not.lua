local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{i(2,3)}"] = {{dtype="int64", sizes={2,3}, {1,4,4,-3,4,-3}}},
  ["{b(3,4)}"] = {{dtype="bool", sizes={3,4}, {1,1,1,0,0,0,0,0,0,1,1,1}}},
}
