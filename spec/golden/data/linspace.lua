local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{0, 1, 5}"] = {{dtype="float32", sizes={5}, {0,0.25,0.5,0.75,1}}},
  ["{3, -3, 4}"] = {{dtype="float32", sizes={4}, {3,1,-1,-3}}},
  ["{2, 5, 1}"] = {{dtype="float32", sizes={1}, {2}}},
  ["{0, 1, 0}"] = {{dtype="float32", sizes={0}, {}}},
}
