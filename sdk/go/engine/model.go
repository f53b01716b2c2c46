package engine

import "slices"

// FlagType is the type of a flag's values.
type FlagType string

// The types of flags.
const (
	Boolean FlagType = "boolean"
	String  FlagType = "string"
	Number  FlagType = "number"
	JSON    FlagType = "json"
)

// A later version of the contract may have written the first two: the flag keeps the last version that was understood.
// A malformed condition is a mistake in any version: it is false for everybody.
const (
	unknownOperator    = "unknown_operator"
	unknownShape       = "unknown_shape"
	malformedCondition = "malformed_condition"
)

type nodeKind uint8

const (
	faultNode nodeKind = iota
	attributeNode
	segmentsNode
	allNode
	anyNode
	notNode
	// What a tree is for everybody; compiling makes them.
	alwaysNode
	neverNode
)

// node is a condition, or a group of conditions.
type node struct {
	kind      nodeKind
	fault     string
	attribute string
	holds     predicate
	// Of segments: whether they must not hold anybody.
	isNegated bool
	keys      []string
	nodes     []*node
}

// leaves calls each leaf of a tree in the document's order.
func (n *node) leaves(call func(*node)) {
	if n == nil {
		return
	}
	if n.kind < allNode {
		call(n)
	}
	for _, child := range n.nodes {
		child.leaves(call)
	}
}

// firstFault is the first fault of a tree; empty for none.
func (n *node) firstFault() string {
	found := ""
	n.leaves(func(leaf *node) {
		if found == "" && leaf.kind == faultNode {
			found = leaf.fault
		}
	})
	return found
}

// isUnderstood says whether every operator and shape in the tree is known.
func (n *node) isUnderstood() bool {
	isUnderstood := true
	n.leaves(func(leaf *node) {
		isUnderstood = isUnderstood && (leaf.kind != faultNode || leaf.fault == malformedCondition)
	})
	return isUnderstood
}

// segmentKeys are those that the tree asks for, each once, after the given ones.
func (n *node) segmentKeys(keys []string) []string {
	n.leaves(func(leaf *node) {
		for _, key := range leaf.keys {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	})
	return keys
}

// bucketRange gives buckets start (included) to end (excluded) the variant.
type bucketRange struct {
	start, end int32
	variant    string
}

// rule serves its variant, or where that is empty its allocation.
type rule struct {
	id         string
	priority   float64
	conditions *node
	variant    string
	allocation []bucketRange
}

// experiment: id is the key that answers report; ranges are the buckets of the layer that take part.
//
// With an allocation of its own, whoever takes no part goes on to the next step; without, the flag's allocation splits
// the participants. Without a priority its place is after all rules.
type experiment struct {
	id             string
	layerSalt      string
	ranges         []bucketRange
	controlVariant string
	audience       *node
	allocation     []bucketRange
	hasAllocation  bool
	priority       float64
	hasPriority    bool
}

type prerequisite struct {
	flagKey  string
	variants []string
}

type target struct {
	variant string
	userIDs []string
}

// definition is a flag as one environment sees it; rules by ascending priority, allocations by bucket.
type definition struct {
	key                  string
	kind                 FlagType
	variants             []variant
	isEnabled            bool
	defaultVariant       string
	offVariant           string
	killSwitchVariant    string
	bucketBy             []string
	salt                 string
	prerequisites        []prerequisite
	targets              []target
	rules                []rule
	experiment           *experiment
	allocation           []bucketRange
	metadata             map[string]any
	logsExperimentsAlone bool
}

type variant struct {
	key   string
	value any
}

func (d *definition) hasVariant(key string) bool {
	return slices.ContainsFunc(d.variants, func(one variant) bool { return one.key == key })
}

func (d *definition) value(key string) any {
	for _, one := range d.variants {
		if one.key == key {
			return one.value
		}
	}
	return nil
}

// trees are all condition trees of the flag.
func (d *definition) trees() []*node {
	var found []*node
	for _, one := range d.rules {
		found = append(found, one.conditions)
	}
	if d.experiment != nil && d.experiment.audience != nil {
		found = append(found, d.experiment.audience)
	}
	return found
}

func (d *definition) isUnderstood() bool {
	return !slices.ContainsFunc(d.trees(), func(tree *node) bool { return !tree.isUnderstood() })
}

// segmentKeys are those that any tree of the flag asks for.
func (d *definition) segmentKeys() []string {
	var keys []string
	for _, tree := range d.trees() {
		keys = tree.segmentKeys(keys)
	}
	return keys
}

// segmentDefinition is an audience: excluded wins over included, which wins over conditions.
type segmentDefinition struct {
	key        string
	included   map[string]bool
	excluded   map[string]bool
	conditions *node
}
