local inf, nan = 1 / 0, 0 / 0 -- luacheck: ignore
return {
  ["{prob(3,4), prob(3,4)}"] = {{dtype="float64", sizes={}, {0.9539693759057721}}},
  ["{prob(3,4), prob(3,4), {reduction=\"sum\"}}"] = {{dtype="float64", sizes={}, {9.39534799710125}}},
  ["{prob(2,3), prob(2,3), pos(3), {reduction=\"none\"}}"] = {{dtype="float64", sizes={2,3}, {1.5016292959189275,0.8634935291631463,0.6516506734894228,0.6932420568459058,0.8302579622257742,0.9270695989454988}}},
  ["{t(prob(3,4)), prob(4,3)}"] = {{dtype="float64", sizes={}, {0.8421677254986167}}},
  ["{prob(), prob()}"] = {{dtype="float64", sizes={}, {0.7223121252669369}}},
}
