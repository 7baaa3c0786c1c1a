package worker

// OmniglotOptions are the keys under `family:` of few-shot image classification.
type OmniglotOptions struct {
	Path       []string          `json:"path,omitempty" why:"folder of images_background.npz and images_evaluation.npz, or any .npz files with an array images [classes][images][side][side] of bytes, 0 = ink"`
	Digest     string            `json:"digest,omitempty" why:"SHA-256 the images must have, once read, resized and packed; pins public data by content"`
	Ways       int               `json:"ways" default:"5" min:"2" max:"1000" unit:"classes" why:"characters to tell apart in a task"`
	Shots      []int             `json:"shots" default:"[1]" min:"1" max:"1000" unit:"images of each class" why:"support of a task; several: drawn per task"`
	TestShots  []int             `json:"test_shots,omitempty" min:"1" max:"1000" unit:"images of each class" why:"support of validation and test tasks; empty = shots"`
	Query      int               `json:"query" default:"0" min:"0" max:"1000" unit:"images of each class" why:"images the adapted model is scored on; 0 = as many as shots, as in the MAML paper's code"`
	Rotations  bool              `json:"rotations" default:"true" why:"each character turned by 0, 90, 180 and 270 degrees is a class of its own: four times as many to learn from"`
	Size       int               `json:"size" default:"28" min:"1" max:"256" unit:"pixels" why:"side the images are resized to, by area: a pixel is the share of its square that is ink"`
	Invert     bool              `json:"invert" default:"true" why:"ink is 1 and paper 0, so that most inputs are 0; false: as stored"`
	Characters CharactersOptions `json:"characters"`
}

// CharactersOptions say which characters are held out.
type CharactersOptions struct {
	Train    int    `json:"train" default:"1200" min:"1" max:"100000" unit:"characters" why:"trained on, drawn at random irrespective of alphabet"`
	Validate int    `json:"validate" default:"100" min:"0" max:"100000" unit:"characters" why:"of the rest, those the published model is chosen on; what is left then is for the test"`
	Seed     uint64 `json:"seed" default:"1" why:"selects the characters; not the run's seed, so that runs that differ in that alone hold out the same ones"`
}

func (o *OmniglotOptions) takePaths() []string {
	paths := o.Path
	o.Path = nil
	return paths
}

func (o *OmniglotOptions) forget() { o.Digest = "" }

// ArraysOptions are the keys under `family:` for tasks of the user's own.
type ArraysOptions struct {
	Path    []string     `json:"path,omitempty" why:"folder of .npz or .safetensors files, one a task: support_x, support_y, query_x, query_y, or x and y; docs/arrays.md"`
	Digest  string       `json:"digest,omitempty" why:"SHA-256 the tasks must have, once read and packed; pins public data by content"`
	Group   string       `json:"group,omitempty" why:"regular expression on a task's name; its first capture names the siblings that must stay in one split; empty = each file is its own"`
	Classes int          `json:"classes,omitempty" default:"0" min:"0" max:"65536" unit:"classes" why:"number of classes, for integer labels; 0 = one more than the largest label, which is at most 999. Given, integers are labels whatever the losses"`
	Shots   []int        `json:"shots" default:"[5]" min:"0" max:"100000" unit:"rows" why:"files of x and y: rows drawn for the support; several: drawn per task"`
	Query   int          `json:"query" default:"15" min:"1" max:"100000" unit:"rows" why:"files of x and y: at most so many of the other rows score a task"`
	Split   SplitOptions `json:"split"`
}

func (o *ArraysOptions) takePaths() []string {
	paths := o.Path
	o.Path = nil
	return paths
}

func (o *ArraysOptions) forget() { o.Digest = "" }

// omniglotPreset is the experiment of the MAML paper, 5-way 1-shot without convolution (section 5.2, appendix A.1).
const omniglotPreset = `
model: {name: mlp, hidden: [256, 128, 64, 64], norm: batch, skip: false}
learner: {name: maml, steps: 1, rate: 0.4}
inner: {loss: softmax}
outer: {loss: softmax}
optimizer: {rate: 0.001, schedule: constant, clip: 0}
meta_batch: 32
steps: 60000
validation: {every: 500, tasks: 600, adapt: [3], loss: error}
evaluation: {pooled: false, tasks: 1000, steps: [0, 1, 3]}
`

// omniglotLearners: rates learned for the steps trained with are scored after those; MAML++'s outer schedule is a cosine.
var omniglotLearners = map[string]string{
	"mamlpp":  "optimizer: {schedule: cosine}\nvalidation: {adapt: []}\nevaluation: {steps: [0, 5]}\n",
	"metasgd": "validation: {adapt: []}\nevaluation: {steps: [0, 1]}\n",
}

// arraysLearners: protonet knows no other loss.
var arraysLearners = map[string]string{"protonet": "outer: {loss: softmax}\nvalidation: {loss: error}\n"}

const arraysPreset = `
model: {name: mlp, hidden: [64, 64]}
learner: {name: maml, steps: 3, rate: 0.05}
evaluation: {pooled: false, steps: [0, 1, 3, 10]}
`
