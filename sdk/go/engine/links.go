package engine

import "slices"

const mostPrerequisiteDepth = 10

// graph has for each node the nodes that it asks for.
type graph map[string][]string

// links is what the links between an environment's flags and segments mean for evaluations.
type links struct {
	// Flags whose prerequisites fail for every input: those in a cycle, or above a chain that is too deep.
	unmeetable map[string]bool
	// Segments that are in cycles, by the number of the cycle.
	cycles map[string]int
	// Segments that serve an earlier version, and those that ask for one.
	held map[string]bool
	// Segments that cannot be evaluated, and those that ask for one.
	broken map[string]bool
	// Flags that cannot be evaluated because of a segment that they, or their prerequisites, ask for: why.
	brokenFlags map[string]string
}

func newLinks(flags map[string]*flag, segments map[string]*segment) *links {
	asked, askedFlags := graph{}, graph{}
	var held, broken []string
	for key, one := range segments {
		if len(one.segmentKeys) > 0 {
			asked[key] = one.segmentKeys
		}
		if one.isHeld {
			held = append(held, key)
		}
		if one.definition == nil {
			broken = append(broken, key)
		}
	}
	for key, one := range flags {
		if one.code == nil {
			continue
		}
		for _, needed := range one.code.definition.prerequisites {
			askedFlags[key] = append(askedFlags[key], needed.flagKey)
		}
	}
	return &links{
		unmeetable: unmeetable(askedFlags),
		cycles:     cyclicGroups(asked),
		held:       reaching(asked, held),
		broken:     reaching(asked, broken),
	}
}

// isCut says whether a segment cannot see another, because both are in one cycle.
func (l *links) isCut(from, key string) bool {
	cycle, isCyclic := l.cycles[from]
	other, isOther := l.cycles[key]
	return isCyclic && isOther && cycle == other
}

// findBrokenFlags fills brokenFlags. It has to know which flags can be met.
func (l *links) findBrokenFlags(e *Environment) {
	if len(l.broken) == 0 {
		return
	}
	l.brokenFlags = map[string]string{}
	seen := map[string]bool{}
	var problemOf func(key string) string
	problemOf = func(key string) string {
		one := e.flags[key]
		if seen[key] || one == nil || one.code == nil {
			return l.brokenFlags[key]
		}
		seen[key] = true
		for _, needed := range one.code.segmentKeys {
			if l.broken[needed] {
				l.brokenFlags[key] = "segments." + needed + ": Update the SDK, it does not understand this segment."
				return l.brokenFlags[key]
			}
		}
		if one.code.isFixed() {
			return ""
		}
		for _, needed := range one.code.definition.prerequisites {
			if e.meetable(needed.flagKey, key) == nil {
				continue
			}
			if problem := problemOf(needed.flagKey); problem != "" {
				l.brokenFlags[key] = problem
				return problem
			}
		}
		return ""
	}
	for key := range e.flags {
		problemOf(key)
	}
}

// reaching are the wanted nodes, and all from which one of them can be reached.
func reaching(g graph, wanted []string) map[string]bool {
	if len(wanted) == 0 {
		return nil
	}
	found := setOf(wanted)
	for before := -1; before != len(found); {
		before = len(found)
		for node, others := range g {
			if slices.ContainsFunc(others, func(other string) bool { return found[other] }) {
				found[node] = true
			}
		}
	}
	return found
}

// unmeetable are the nodes in cycles, and those above a chain that is too deep.
func unmeetable(g graph) map[string]bool {
	cyclic := cyclicGroups(g)
	found, depths := map[string]bool{}, map[string]int{}
	for key := range cyclic {
		found[key], depths[key] = true, 0
	}
	for root := range g {
		work := []string{root}
		for len(work) > 0 {
			node := work[len(work)-1]
			_, isKnown := depths[node]
			deepest, waiting := -1, len(work)
			for _, other := range g[node] {
				depth, isOtherKnown := depths[other]
				deepest = max(deepest, depth)
				if !isKnown && !isOtherKnown {
					work = append(work, other)
				}
			}
			if len(work) > waiting {
				continue
			}
			work = work[:len(work)-1]
			if !isKnown {
				depths[node] = deepest + 1
				if depths[node] > mostPrerequisiteDepth {
					found[node] = true
				}
			}
		}
	}
	return found
}

// cyclicGroups are the members of cycles, each with the number of its group of nodes that reach one another: Tarjan's
// algorithm, without recursion.
func cyclicGroups(g graph) map[string]int {
	type visit struct {
		node string
		next int
	}
	order, lowest, groups := map[string]int{}, map[string]int{}, map[string]int{}
	onStack := map[string]bool{}
	var stack []string
	var work []visit
	enter := func(node string) {
		order[node] = len(order)
		lowest[node] = order[node]
		stack = append(stack, node)
		onStack[node] = true
		work = append(work, visit{node, 0})
	}
	leave := func(node string) {
		at := slices.Index(stack, node)
		members := stack[at:]
		stack = stack[:at]
		for _, member := range members {
			onStack[member] = false
			if len(members) > 1 || slices.Contains(g[node], node) {
				groups[member] = order[node]
			}
		}
	}
	for root := range g {
		if _, isSeen := order[root]; !isSeen {
			enter(root)
		}
		for len(work) > 0 {
			last := &work[len(work)-1]
			node := last.node
			if last.next < len(g[node]) {
				other := g[node][last.next]
				last.next++
				if at, isSeen := order[other]; !isSeen {
					enter(other)
				} else if onStack[other] {
					lowest[node] = min(lowest[node], at)
				}
				continue
			}
			work = work[:len(work)-1]
			if len(work) > 0 {
				parent := work[len(work)-1].node
				lowest[parent] = min(lowest[parent], lowest[node])
			}
			if lowest[node] == order[node] {
				leave(node)
			}
		}
	}
	return groups
}
