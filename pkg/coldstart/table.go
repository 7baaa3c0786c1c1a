package coldstart

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// Table is the cold-start table. Its JSON is what `warmstart eval --json` prints.
type Table struct {
	Rows        []Row       `json:"rows"`
	PerJob      []JobScores `json:"per_job"`
	Comparators Comparators `json:"comparators"`
	LeftOut     LeftOut     `json:"left_out"`
	Notes       []string    `json:"notes,omitempty"`
}

// Row is one method at one number of shots, averaged over jobs.
type Row struct {
	Method string     `json:"method"`  // last, seasonal, ses, scratch, pooled, finetuned, nearest, adapted
	Shots  *int       `json:"shots"`   // null: all values before
	MASE   float64    `json:"mase"`    // mean absolute error over the last value's own
	MASECI [2]float64 `json:"mase_ci"` // 95 % bootstrap interval over jobs
	RMSE   float64    `json:"rmse"`    // root mean square error on the same scale
	SMAPE  *float64   `json:"smape"`   // percent, over jobs with no value below 0; null where there is none

	// WorstVsLast is the largest ratio of a job's MASE to the last value's on the
	// same windows; jobs whose last value made no error there do not count.
	WorstVsLast float64 `json:"worst_vs_last"`
	Jobs        int     `json:"jobs"`
}

// JobScores are one job's rows.
type JobScores struct {
	Job      string   `json:"job"`
	Interval float64  `json:"interval"` // seconds between values
	Values   int      `json:"values"`
	Scored   int      `json:"scored"` // windows
	Scale    float64  `json:"scale"`  // what MASE 1 is, in the units of the series
	Rows     []JobRow `json:"rows"`

	last float64 // MASE of the last value
}

// JobRow is one method at one number of shots on one job.
type JobRow struct {
	Method string   `json:"method"`
	Shots  *int     `json:"shots"`
	MASE   float64  `json:"mase"`
	RMSE   float64  `json:"rmse"`
	SMAPE  *float64 `json:"smape"`
	VsLast *float64 `json:"vs_last"` // null where the last value made no error
}

// LeftOut counts series that no method is scored on.
type LeftOut struct {
	Constant int `json:"constant"` // no value differs from the one before
	Short    int `json:"short"`    // nothing is left to score after the largest support
}

// String tells the counts.
func (l LeftOut) String() string {
	return fmt.Sprintf("left out: %d constant, %d too short", l.Constant, l.Short)
}

func newJobScores(j *job, last failure) JobScores {
	return JobScores{last: last.mase, Job: j.name, Interval: j.interval, Values: len(j.values), Scored: len(j.scored), Scale: j.scale}
}

func newJobRow(r Row, f failure, vsLast float64, positive bool) JobRow {
	row := JobRow{Method: r.Method, Shots: r.Shots, MASE: rounded(f.mase), RMSE: rounded(f.rmse)}
	if positive {
		v := rounded(f.smape)
		row.SMAPE = &v
	}
	if !math.IsInf(vsLast, 0) && !math.IsNaN(vsLast) {
		v := rounded(vsLast)
		row.VsLast = &v
	}
	return row
}

// annotate says what a reader must know beside the figures.
func (t *Table) annotate(b *Base, o Options, note string, jobs []*job) {
	say := func(format string, args ...any) { t.Notes = append(t.Notes, fmt.Sprintf(format, args...)) }
	scored := "all windows after the largest support"
	if o.Score > 0 {
		scored = fmt.Sprintf("the last %g of each series' windows", o.Score)
	}
	where := "the first windows of a series"
	if o.Support == Recent {
		where = "the last windows before the scored ones"
	}
	say("one step ahead; scored: %s; support: %s; scale: the last value's mean absolute error over the whole series", scored, where)
	if t.LeftOut.Constant+t.LeftOut.Short > 0 {
		say("%v", t.LeftOut)
	}
	if b.Pooled == nil {
		say("the model has no pooled.safetensors: the rows pooled, finetuned and nearest are left out")
	} else if len(o.Train) == 0 {
		say("the training series are not at hand: the row nearest is left out")
	}
	if note != "" {
		say("%s", note)
	}
	if n := t.still(); n > 0 {
		say("%d jobs do not move in their scored part: they have no ratio to the last value", n)
	}
	if n := shortOfADay(jobs); n > 0 {
		say("seasonal: %d jobs hold no value one day before some scored ones: the last value stands in there", n)
	}
}

func (t *Table) still() (n int) {
	for _, j := range t.PerJob {
		if j.Rows[0].VsLast == nil {
			n++
		}
	}
	return n
}

func shortOfADay(jobs []*job) (n int) {
	for _, j := range jobs {
		day := int(math.Round(86400 / j.interval))
		if first := j.scored[0]; day < 2 || j.ws.Index[first]-day < j.begins[j.ws.Segment[first]] {
			n++
		}
	}
	return n
}

// Write prints the rows, aligned, and the notes.
func (t *Table) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "method\tshots\tMASE\t95 %\tRMSE\tSMAPE %\tworst/last\tjobs\t")
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "%s\t%s\t%.3f\t%.3f-%.3f\t%.3f\t%s\t%.2f\t%d\t\n",
			r.Method, shotsText(r.Shots), r.MASE, r.MASECI[0], r.MASECI[1], r.RMSE, percentText(r.SMAPE), r.WorstVsLast, r.Jobs)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return writeNotes(w, t.Notes)
}

// writeNotes prints what stands below a table, a line each.
func writeNotes(w io.Writer, notes []string) error {
	for _, n := range notes {
		if _, err := fmt.Fprintln(w, n); err != nil {
			return err
		}
	}
	return nil
}

// WriteJobs prints each job's MASE over the last value's, method by method.
func (t *Table) WriteJobs(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "job\tscored\t")
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "%s %s\t", r.Method, shotsText(r.Shots))
	}
	fmt.Fprintln(tw)
	for _, j := range t.PerJob {
		fmt.Fprintf(tw, "%s\t%d\t", j.Job, j.Scored)
		for _, r := range j.Rows {
			fmt.Fprintf(tw, "%.3f\t", r.MASE)
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

func shotsText(shots *int) string {
	if shots == nil {
		return "all"
	}
	return fmt.Sprint(*shots)
}

func percentText(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *v)
}
