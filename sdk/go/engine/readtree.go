package engine

import (
	"slices"
	"unicode/utf8"
)

// A foreign document may be deeper than ours ever are. Past this depth a tree is not read.
const mostTreeDepth = 25

func faulty(fault string) *node { return &node{kind: faultNode, fault: fault} }

// readTree reads a condition, or a group of all, any or not. What it does not know becomes a fault, never an error.
func readTree(document any, depth int) *node {
	members, isObject := document.(map[string]any)
	if !isObject {
		return faulty(unknownShape)
	}
	group, groups := "", 0
	for _, name := range []string{"all", "any", "not"} {
		if _, isThere := members[name]; isThere {
			group, groups = name, groups+1
		}
	}
	if groups == 0 {
		return readCondition(members)
	}
	if _, isCondition := members["operator"]; isCondition || groups > 1 || depth == mostTreeDepth {
		return faulty(unknownShape)
	}
	switch group {
	case "all":
		return &node{kind: allNode, nodes: readNodes(members[group], depth+1)}
	case "any":
		return &node{kind: anyNode, nodes: readNodes(members[group], depth+1)}
	default:
		return &node{kind: notNode, nodes: []*node{readTree(members[group], depth+1)}}
	}
}

// readRuleConditions reads a list of conditions, all of which have to hold, or a tree.
func readRuleConditions(document any) *node {
	if _, isObject := document.(map[string]any); isObject {
		return readTree(document, 0)
	}
	return &node{kind: allNode, nodes: readNodes(document, 0)}
}

func readNodes(document any, depth int) []*node {
	items, isList := document.([]any)
	if !isList {
		return []*node{faulty(unknownShape)}
	}
	nodes := make([]*node, len(items))
	for i, item := range items {
		nodes[i] = readTree(item, depth)
	}
	return nodes
}

func readCondition(members map[string]any) *node {
	name, _ := members["operator"].(string)
	if name == inSegment || name == notInSegment {
		keys, isGood := readTexts(members["value"])
		if !isGood || slices.Contains(keys, "") {
			return faulty(malformedCondition)
		}
		return &node{kind: segmentsNode, keys: keys, isNegated: name == notInSegment}
	}
	prepare, isKnown := operators[name]
	if !isKnown {
		return faulty(unknownOperator)
	}
	attribute, _ := members["attribute"].(string)
	if attribute == "" || !utf8.ValidString(attribute) {
		return faulty(unknownShape)
	}
	holds, isGood := prepare(members["value"])
	if !isGood {
		return faulty(malformedCondition)
	}
	return &node{kind: attributeNode, attribute: attribute, holds: holds}
}

// readTexts reads a list of nothing but texts.
func readTexts(document any) ([]string, bool) {
	items, isList := document.([]any)
	texts := make([]string, len(items))
	for i, item := range items {
		text, isText := item.(string)
		if !isText {
			return nil, false
		}
		texts[i] = text
	}
	return texts, isList
}

// readSegment reads a segment; nil where nothing of it can be read.
func readSegment(key string, document any) *segmentDefinition {
	members, isObject := document.(map[string]any)
	if !isObject {
		return nil
	}
	found := &segmentDefinition{
		key:      key,
		included: setOf(readUserIDs(members["included"])),
		excluded: setOf(readUserIDs(members["excluded"])),
	}
	if conditions := members["conditions"]; conditions != nil {
		found.conditions = readTree(conditions, 0)
	}
	return found
}

// readUserIDs reads user ids, without those that no user can have.
func readUserIDs(document any) []string {
	items, _ := document.([]any)
	var ids []string
	for _, item := range items {
		if id, _ := item.(string); id != "" && utf8.ValidString(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func setOf(texts []string) map[string]bool {
	set := make(map[string]bool, len(texts))
	for _, text := range texts {
		set[text] = true
	}
	return set
}
