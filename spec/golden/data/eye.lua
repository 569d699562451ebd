local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{3}"] = {{dtype="float32", sizes={3,3}, {1,0,0,0,1,0,0,0,1}}},
  ["{2, 4}"] = {{dtype="float32", sizes={2,4}, {1,0,0,0,0,1,0,0}}},
  ["{4, 2}"] = {{dtype="float32", sizes={4,2}, {1,0,0,1,0,0,0,0}}},
  ["{0}"] = {{dtype="float32", sizes={0,0}, {}}},
}
