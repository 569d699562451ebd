local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{f(3,4), idx(4,3)}"] = {{dtype="float64", sizes={}, {1.7717138120180265}}},
  ["{f(3,4), idx(4,3), pos(4), {reduction=\"sum\"}}"] = {{dtype="float64", sizes={}, {9.418386423906911}}},
  ["{f(2,3,2), idx(3,2,2), {reduction=\"none\"}}"] = {{dtype="float64", sizes={2,2}, {0.5755229510535024,1.6907588129679847,2.2819651901226656,3.3413808916138636}}},
  ["{t(f(4,3)), idx(4,3), pos(4)}"] = {{dtype="float64", sizes={}, {1.85460103547412}}},
  ["{f(4), idx(4)}"] = {{dtype="float64", sizes={}, {0.9280237428480893}}},
  ["{f(3,4), idx(4,3), {ignore_index=2}}"] = {{dtype="float64", sizes={}, {2.006582457128437}}},
  ["{f(3,4), idx(4,3), pos(4), {label_smoothing=0.2}}"] = {{dtype="float64", sizes={}, {1.836597281698638}}},
  ["{f(2,3), prob(2,3), pos(3), {label_smoothing=0.1}}"] = {{dtype="float64", sizes={}, {0.8748151567369027}}},
  ["{f(2,3,2), prob(2,3,2), {reduction=\"none\"}}"] = {{dtype="float64", sizes={2,2}, {2.1070394451411083,1.0787322965598267,1.9166569533857207,1.3325362364200402}}},
  ["{f(3,4), idx(4,3), {label_smoothing=0.3, reduction=\"none\"}}"] = {{dtype="float64", sizes={3}, {2.8369717027102785,1.5727273558596078,2.3025870374160333}}},
}
