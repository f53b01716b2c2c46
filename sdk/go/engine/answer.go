package engine

import "sync/atomic"

// Reason is why an answer is what it is.
type Reason string

// The reasons, in the order of evaluation.
const (
	KillSwitch         Reason = "KILL_SWITCH"
	Disabled           Reason = "DISABLED"
	PrerequisiteFailed Reason = "PREREQUISITE_FAILED"
	TargetMatch        Reason = "TARGET_MATCH"
	RuleMatch          Reason = "RULE_MATCH"
	InExperiment       Reason = "EXPERIMENT"
	Rollout            Reason = "ROLLOUT"
	Default            Reason = "DEFAULT"
	Failed             Reason = "ERROR"
)

// ErrorCode is why the caller's default was served; empty where a variant was.
type ErrorCode string

// The error codes.
const (
	FlagNotFound ErrorCode = "FLAG_NOT_FOUND"
	ParseError   ErrorCode = "PARSE_ERROR"
	TypeMismatch ErrorCode = "TYPE_MISMATCH"
	General      ErrorCode = "GENERAL"
)

// Decision is one of the answers that a flag may give. All evaluations that end alike share it: change nothing in it.
type Decision struct {
	FlagKey    string
	Type       FlagType
	Variant    string
	Value      any
	Reason     Reason
	RuleID     string
	Experiment string
	Detail     string
	// OpenFeatureReason is of a configuration that is current.
	OpenFeatureReason string
	// IsLogged says whether an evaluation is an exposure, where there is a unit.
	IsLogged bool
	// Uses is how often it was given since it was last counted. Its owner is the client's usage summary.
	Uses atomic.Int64
}

// Outcome is what one evaluation gives. It fits into registers: an evaluation allocates nothing.
type Outcome struct {
	// Decision is nil where the caller's default is to be served; ErrorCode says why.
	*Decision
	// Unit is what the flag hashes; empty for none.
	Unit string

	environment *Environment
	failure     *failure
	isBehind    bool
}

// failure is why the caller's default is served.
type failure struct {
	code    ErrorCode
	problem string
}

var flagNotFound = &failure{code: FlagNotFound}

// nothing stands for the configuration of who has none.
var nothing = &Environment{isStale: true}

// Failure is an outcome without a decision, at this configuration; at none where that is nil.
func Failure(e *Environment, code ErrorCode, problem string) Outcome {
	if e == nil {
		e = nothing
	}
	return Outcome{environment: e, failure: &failure{code, problem}}
}

// Fixed is an outcome with a decision that no flag made, for tests.
func Fixed(e *Environment, decision *Decision) Outcome {
	return Outcome{Decision: decision, environment: e}
}

// Version is that of the configuration.
func (o *Outcome) Version() int64 { return o.environment.version }

// IsStale says whether the configuration is, or the flag has a later version that is not understood.
func (o *Outcome) IsStale() bool { return o.isBehind || o.environment.isStale }

// ErrorCode is why the caller's default is to be served; empty where there is a decision.
func (o *Outcome) ErrorCode() ErrorCode {
	if o.failure == nil {
		return ""
	}
	return o.failure.code
}

// Answer is an outcome with all that the contract names. Members that do not apply are empty.
type Answer struct {
	// Value is the variant's; nil where there is none. Maps and slices in it are shared: change nothing in them.
	Value         any
	Variant       string
	Reason        Reason
	RuleID        string
	Experiment    string
	ErrorCode     ErrorCode
	Detail        string
	ConfigVersion int64
	// Stale says whether the configuration could not be refreshed for longer than the limit, or is not the latest
	// understood.
	Stale bool
}

// Answer spells the outcome out.
func (o *Outcome) Answer() Answer {
	answer := Answer{ConfigVersion: o.Version(), Stale: o.IsStale()}
	d := o.Decision
	if d == nil {
		answer.Reason, answer.ErrorCode, answer.Detail = Failed, o.failure.code, o.failure.problem
		return answer
	}
	answer.Value, answer.Variant, answer.Reason = d.Value, d.Variant, d.Reason
	answer.RuleID, answer.Experiment, answer.Detail = d.RuleID, d.Experiment, d.Detail
	if o.isBehind {
		answer.Detail = "not_understood"
	}
	return answer
}

// OpenFeatureReason is the reason by OpenFeature's specification.
func (o *Outcome) OpenFeatureReason() string {
	switch {
	case o.Decision == nil:
		return "ERROR"
	case o.IsStale():
		return "STALE"
	default:
		return o.Decision.OpenFeatureReason
	}
}
