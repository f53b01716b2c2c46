package engine

import "slices"

// pass says that a step decides nothing.
const pass = -1

// Up to so many ranges are scanned, more are searched.
const mostScanned = 6

var openFeatureReasons = map[Reason]string{
	KillSwitch: "DISABLED", Disabled: "DISABLED", PrerequisiteFailed: "DEFAULT", TargetMatch: "TARGETING_MATCH",
	RuleMatch: "TARGETING_MATCH", InExperiment: "SPLIT", Rollout: "SPLIT", Default: "DEFAULT",
}

type stepKind uint8

const (
	prerequisitesStep stepKind = iota
	targetsStep
	ruleStep
	splitStep
	experimentStep
)

// step is one of the contract's, for one flag. Decisions are numbers in the code's list.
type step struct {
	kind stepKind
	// Whom it is about; nil for everybody.
	tree *node
	// What it gives: to whom the tree holds, or who fails the prerequisites, or takes no part of a split.
	decision  int32
	otherwise int32
	pieces    []piece
	targets   map[string]int32
	layer     prefixHash
	ranges    []bucketRange
}

// naming is what a decision says besides its variant.
type naming struct {
	reason                                  Reason
	ruleID, experiment, detail, openFeature string
}

// piece gives the buckets of a range a decision.
type piece struct{ start, end, decision int32 }

// code is a flag's steps. They know no version of the environment and serve every one.
type code struct {
	definition        *definition
	subject           string
	hash              prefixHash
	byUserID          bool
	decisions         []*Decision
	steps             []step
	served            int32
	servedWithoutUnit int32
	// The segments that an evaluation may ask for, and whether it asks for any, or for another flag.
	segmentKeys []string
	isLinked    bool
	// Whether a user's bucket among these pieces decides alone, as of most flags: then nothing else is looked at.
	isPlain bool
	pieces  []piece
	// An unreadable condition is false for everybody and may change every later outcome; the answer says so.
	fault string
}

func compile(flag *definition, environmentSalt string) *code {
	prefix := flag.salt + ":"
	if environmentSalt != "" {
		prefix = environmentSalt + ":" + prefix
	}
	c := &code{definition: flag, subject: flag.key, hash: newPrefixHash(prefix)}
	c.byUserID = len(flag.bucketBy) == 1 && flag.bucketBy[0] == userID
	switch {
	case flag.killSwitchVariant != "":
		c.serveAll(c.decide(flag.killSwitchVariant, naming{reason: KillSwitch}))
	case !flag.isEnabled:
		c.serveAll(c.decide(flag.offVariant, naming{reason: Disabled}))
	default:
		c.addSteps()
		c.isLinked = len(flag.prerequisites) > 0 || len(c.segmentKeys) > 0
	}
	if c.byUserID && !c.isLinked && len(c.steps) <= 1 {
		c.isPlain = len(c.steps) == 0
		if !c.isPlain && c.steps[0].kind == splitStep && c.steps[0].tree == nil {
			c.isPlain, c.pieces = true, c.steps[0].pieces
		}
	}
	return c
}

// isFixed says whether nothing but the flag's own switches decides.
func (c *code) isFixed() bool {
	return c.definition.killSwitchVariant != "" || !c.definition.isEnabled
}

func (c *code) serveAll(decision int32) {
	c.served, c.servedWithoutUnit = decision, decision
}

func (c *code) addSteps() {
	flag := c.definition
	if len(flag.prerequisites) > 0 {
		c.steps = append(c.steps, step{
			kind: prerequisitesStep, decision: c.decide(flag.offVariant, naming{reason: PrerequisiteFailed}),
		})
	}
	c.addTargets()
	place := len(flag.rules)
	if flag.experiment != nil && flag.experiment.hasPriority {
		place = 0
		for place < len(flag.rules) && flag.rules[place].priority < flag.experiment.priority {
			place++
		}
	}
	for i := range flag.rules {
		if i == place {
			c.addExperiment()
		}
		if c.addRule(&flag.rules[i]) {
			return
		}
	}
	if place == len(flag.rules) {
		c.addExperiment()
	}
	c.addRollout()
}

func (c *code) addTargets() {
	decisions := map[string]int32{}
	for _, one := range c.definition.targets {
		decision := c.decide(one.variant, naming{reason: TargetMatch})
		for _, id := range one.userIDs {
			if _, isTaken := decisions[id]; !isTaken {
				decisions[id] = decision
			}
		}
	}
	if len(decisions) > 0 {
		c.steps = append(c.steps, step{kind: targetsStep, targets: decisions})
	}
}

// addRule adds a rule; it says whether that decides for everybody, so that nothing can follow.
func (c *code) addRule(one *rule) bool {
	tree := c.tree(one.conditions)
	if tree.kind == neverNode {
		return false
	}
	if one.variant != "" {
		decision := c.decide(one.variant, naming{reason: RuleMatch, ruleID: one.id})
		if tree.kind == alwaysNode {
			c.serveAll(decision)
			return true
		}
		c.steps = append(c.steps, step{kind: ruleStep, tree: tree, decision: decision})
		return false
	}
	if len(one.allocation) > 0 {
		pieces := c.split(one.allocation, naming{reason: RuleMatch, ruleID: one.id})
		c.steps = append(c.steps, step{kind: splitStep, tree: condition(tree), pieces: pieces})
	}
	return false
}

func (c *code) addExperiment() {
	one := c.definition.experiment
	if one == nil {
		return
	}
	added := step{kind: experimentStep, otherwise: pass, layer: newPrefixHash(one.layerSalt + ":"), ranges: one.ranges}
	if one.audience != nil {
		added.tree = condition(c.tree(one.audience))
	}
	allocation := c.definition.allocation
	if one.hasAllocation {
		allocation = one.allocation
	}
	named := naming{reason: InExperiment, experiment: one.id}
	added.pieces = c.split(allocation, named)
	added.decision = c.decide(one.controlVariant, named)
	if !one.hasAllocation {
		added.otherwise = c.decide(c.definition.defaultVariant, naming{reason: Default, detail: "not_in_experiment"})
	}
	c.steps = append(c.steps, added)
}

// addRollout adds steps 9 and 10 of the contract: the rollout, and what remains.
func (c *code) addRollout() {
	flag := c.definition
	isStatic := flag.experiment == nil && len(flag.targets)+len(flag.rules)+len(flag.allocation) == 0
	if (flag.experiment == nil || flag.experiment.hasAllocation) && len(flag.allocation) > 0 {
		pieces := c.split(flag.allocation, naming{reason: Rollout})
		c.steps = append(c.steps, step{kind: splitStep, pieces: pieces})
	}
	reason := openFeatureReasons[Default]
	if isStatic {
		reason = "STATIC"
	}
	c.served = c.decide(flag.defaultVariant, naming{reason: Default, openFeature: reason})
	c.servedWithoutUnit = c.decide(
		flag.defaultVariant, naming{reason: Default, openFeature: reason, detail: "no_unit"},
	)
}

// split has a piece for each range, and a decision for each variant.
func (c *code) split(allocation []bucketRange, named naming) []piece {
	named.openFeature = "SPLIT"
	numbers := map[string]int32{}
	pieces := make([]piece, len(allocation))
	for i, one := range allocation {
		number, isKnown := numbers[one.variant]
		if !isKnown {
			number = c.decide(one.variant, named)
			numbers[one.variant] = number
		}
		pieces[i] = piece{one.start, one.end, number}
	}
	return pieces
}

// condition is nil for a tree that holds for everybody.
func condition(tree *node) *node {
	if tree.kind == alwaysNode {
		return nil
	}
	return tree
}

func (c *code) tree(tree *node) *node {
	if c.fault == "" {
		c.fault = tree.firstFault()
	}
	c.segmentKeys = tree.segmentKeys(c.segmentKeys)
	return tree.simplified()
}

// decide adds a decision, and gives its number.
func (c *code) decide(variant string, named naming) int32 {
	flag := c.definition
	if named.openFeature == "" {
		named.openFeature = openFeatureReasons[named.reason]
	}
	if named.detail == "" {
		named.detail = c.fault
	}
	c.decisions = append(c.decisions, &Decision{
		FlagKey: flag.key, Type: flag.kind, Variant: variant, Value: flag.value(variant),
		Reason: named.reason, RuleID: named.ruleID, Experiment: named.experiment, Detail: named.detail,
		OpenFeatureReason: named.openFeature,
		IsLogged:          !flag.logsExperimentsAlone || named.experiment != "",
	})
	return int32(len(c.decisions) - 1)
}

// simplified is the tree without what is the same for everybody.
func (n *node) simplified() *node {
	switch n.kind {
	case faultNode:
		return &node{kind: neverNode}
	case segmentsNode:
		if len(n.keys) > 0 {
			return n
		}
		return constant(n.isNegated)
	case notNode:
		inner := n.nodes[0].simplified()
		if inner.kind == alwaysNode || inner.kind == neverNode {
			return constant(inner.kind == neverNode)
		}
		return &node{kind: notNode, nodes: []*node{inner}}
	case allNode, anyNode:
		return n.simplifiedGroup()
	}
	return n
}

func constant(holds bool) *node {
	if holds {
		return &node{kind: alwaysNode}
	}
	return &node{kind: neverNode}
}

func (n *node) simplifiedGroup() *node {
	neutral, deciding := alwaysNode, neverNode
	if n.kind == anyNode {
		neutral, deciding = neverNode, alwaysNode
	}
	parts := make([]*node, len(n.nodes))
	for i, child := range n.nodes {
		parts[i] = child.simplified()
	}
	if slices.ContainsFunc(parts, func(part *node) bool { return part.kind == deciding }) {
		return &node{kind: deciding}
	}
	parts = slices.DeleteFunc(parts, func(part *node) bool { return part.kind == neutral })
	switch len(parts) {
	case 0:
		return &node{kind: neutral}
	case 1:
		return parts[0]
	}
	return &node{kind: n.kind, nodes: parts}
}
