// Package coldstart answers what a base model is good for: how well it forecasts
// for a member of its family that it has never seen, from no sample, from a few,
// from many, beside everything one could do without it.
//
//   - Evaluate makes the cold-start table: every method on the same samples of
//     the same jobs, on the same scale.
//   - Tune chooses what the comparators need, on training jobs.
//   - Adapt fits the base model to one job and forecasts.
//   - EvaluateClasses and EvaluateRegression make the tables of families without
//     series: accuracy or squared error, by method and number of inner steps.
//
// The protocol of the table. Every job is forecast one step ahead, from windows
// that hold observed values only. Of its windows the scored ones are the same for
// every method and number of shots: all after the largest support, or the last
// share (Options.Score). The support of k shots is the first k windows, or the
// last k before the scored ones (Options.Support).
//
// The scale of MASE and RMSE is the mean absolute difference of neighbouring
// values over the whole series: the last value's own error. SMAPE is
// 100 mean |t-p|/(|t|+|p|), where 0/0 is 0, over series with no value below 0.
//
// The package is pure: no I/O, no clock but one the caller hands in, no
// goroutine. What reaches a figure is computed by internal/kernel, square roots
// and rounding, so that a table is the same on every processor. A Base is not
// changed by use and may be shared; its functions may run concurrently.
package coldstart
