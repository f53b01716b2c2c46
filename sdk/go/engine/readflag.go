package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

const mostUnitNames = 3

// unreadable says why a flag cannot be evaluated. It begins with the field, as in "rules[2].variant: …".
type unreadable struct{ problem string }

func (e *unreadable) Error() string { return e.problem }

// flagReader reads one document. The first problem ends it, by a panic that readFlag recovers.
type flagReader struct {
	members map[string]any
	flag    *definition
}

func refuse(path, remedy string) {
	panic(&unreadable{path + ": " + remedy})
}

// readFlag reads the flag that stands under the key; with an error, it cannot be evaluated.
func readFlag(key string, document any) (found *definition, err error) {
	defer func() {
		switch problem := recover().(type) {
		case nil:
		case *unreadable:
			found, err = nil, problem
		default:
			panic(problem)
		}
	}()
	members, isObject := document.(map[string]any)
	if !isObject {
		refuse("flag", "Give a flag, as an object.")
	}
	r := flagReader{members, &definition{key: key}}
	r.read()
	return r.flag, nil
}

// readKilledFlag reads what of an unreadable flag its kill switch needs; nil where that is off or cannot be read.
func readKilledFlag(key string, document any) *definition {
	members, _ := document.(map[string]any)
	if members["killSwitchVariant"] == nil {
		return nil
	}
	needed := map[string]any{}
	for _, name := range []string{"type", "variants", "killSwitchVariant"} {
		if given, isThere := members[name]; isThere {
			needed[name] = given
		}
	}
	found, err := readFlag(key, needed)
	if err != nil {
		return nil
	}
	return found
}

func (r flagReader) read() {
	flag := r.flag
	name, _ := r.members["type"].(string)
	flag.kind = FlagType(name)
	if !slices.Contains([]FlagType{Boolean, String, Number, JSON}, flag.kind) {
		refuse("type", "Give one of boolean, string, number, json.")
	}
	flag.variants = r.variants()
	first := flag.variants[0].key
	flag.isEnabled = r.enabled()
	flag.defaultVariant = r.variant(r.valueOr("defaultVariant", first), "defaultVariant")
	flag.offVariant = r.variant(r.valueOr("offVariant", first), "offVariant")
	if killed := r.members["killSwitchVariant"]; killed != nil {
		flag.killSwitchVariant = r.variant(killed, "killSwitchVariant")
	}
	flag.bucketBy = r.bucketBy()
	flag.salt = readText(r.valueOr("salt", flag.key), "salt")
	flag.prerequisites = each(r, "prerequisites", r.prerequisite)
	flag.targets = each(r, "targets", r.target)
	flag.rules = each(r, "rules", r.rule)
	slices.SortStableFunc(flag.rules, func(one, other rule) int { return cmp.Compare(one.priority, other.priority) })
	flag.experiment = r.experiment()
	flag.allocation = r.allocation(r.valueOr("allocation", []any{}), "allocation")
	flag.metadata = r.metadata()
	flag.logsExperimentsAlone = r.members["exposures"] == "experiments"
}

func (r flagReader) valueOr(name string, otherwise any) any {
	if given, isThere := r.members[name]; isThere {
		return given
	}
	return otherwise
}

// each reads a list of objects.
func each[Read any](r flagReader, name string, read func(item map[string]any, path string) Read) []Read {
	items, isList := r.valueOr(name, []any{}).([]any)
	if !isList {
		refuse(name, "Give a list.")
	}
	found := make([]Read, len(items))
	for i, item := range items {
		path := fmt.Sprintf("%s[%d]", name, i)
		members, isObject := item.(map[string]any)
		if !isObject {
			refuse(path, "Give an object.")
		}
		found[i] = read(members, path)
	}
	return found
}

func readName(given any, path string) string {
	name, _ := given.(string)
	if name == "" {
		refuse(path, "Give it, as text.")
	}
	return name
}

func readText(given any, path string) string {
	text := readName(given, path)
	if !utf8.ValidString(text) {
		refuse(path, "Give text of well-formed Unicode.")
	}
	return text
}

func readInteger(given any, path string) float64 {
	number, isNumber := given.(float64)
	if !isNumber || number != math.Trunc(number) || math.IsInf(number, 0) {
		refuse(path, "Give a whole number.")
	}
	return number
}

func (r flagReader) variants() []variant {
	found := each(r, "variants", func(item map[string]any, path string) variant {
		given, isThere := item["value"]
		if !isThere {
			refuse(path+".value", "Give the variant a value.")
		}
		key := readName(item["key"], path+".key")
		r.checkValue(given, path+".value")
		return variant{key, given}
	})
	if len(found) == 0 {
		refuse("variants", "Give at least two variants.")
	}
	for i, one := range found {
		if slices.ContainsFunc(found[:i], func(other variant) bool { return other.key == one.key }) {
			refuse(fmt.Sprintf("variants[%d].key", i), "Give every variant a key of its own.")
		}
	}
	return found
}

func (r flagReader) checkValue(given any, path string) {
	isOf := true
	switch r.flag.kind {
	case Boolean:
		_, isOf = given.(bool)
	case String:
		_, isOf = given.(string)
	case Number:
		_, isOf = given.(float64)
	}
	if !isOf {
		refuse(path, fmt.Sprintf("Give a %s value, as the flag's type says.", r.flag.kind))
	}
	checkJSON(given, path)
}

// checkJSON refuses what JSON cannot say.
func checkJSON(given any, path string) {
	switch found := given.(type) {
	case string:
		if !utf8.ValidString(found) {
			refuse(path, "Give text of well-formed Unicode.")
		}
	case float64:
		if math.IsInf(found, 0) {
			refuse(path, "Give a finite number.")
		}
	case []any:
		for _, item := range found {
			checkJSON(item, path)
		}
	case map[string]any:
		for name, member := range found {
			checkJSON(name, path)
			checkJSON(member, path)
		}
	}
}

func (r flagReader) enabled() bool {
	enabled, isBoolean := r.valueOr("enabled", false).(bool)
	if !isBoolean {
		refuse("enabled", "Give true or false.")
	}
	return enabled
}

func (r flagReader) bucketBy() []string {
	given := r.valueOr("bucketBy", userID)
	items, isList := given.([]any)
	if !isList {
		items = []any{given}
	}
	var names []string
	for _, item := range items {
		if name := readText(item, "bucketBy"); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(items) == 0 || len(items) > mostUnitNames || len(names) < len(items) {
		refuse("bucketBy", fmt.Sprintf("Name 1 to %d different attributes.", mostUnitNames))
	}
	return names
}

func (r flagReader) variant(given any, path string) string {
	key, _ := given.(string)
	if !r.flag.hasVariant(key) {
		keys := make([]string, len(r.flag.variants))
		for i, one := range r.flag.variants {
			keys[i] = one.key
		}
		refuse(path, fmt.Sprintf("Give one of the variants %s.", strings.Join(keys, ", ")))
	}
	return key
}

func (r flagReader) prerequisite(item map[string]any, path string) prerequisite {
	variants, isGood := readTexts(item["variants"])
	if !isGood {
		refuse(path+".variants", "List the variants that meet the prerequisite.")
	}
	return prerequisite{readName(item["flagKey"], path+".flagKey"), variants}
}

func (r flagReader) target(item map[string]any, path string) target {
	return target{r.variant(item["variant"], path+".variant"), readUserIDs(item["userIds"])}
}

func (r flagReader) rule(item map[string]any, path string) rule {
	given, ranges := item["variant"], item["allocation"]
	if (given == nil) == (ranges == nil) {
		refuse(path, "Give the rule either a variant or an allocation.")
	}
	conditions, isThere := item["conditions"]
	if !isThere {
		conditions = []any{}
	}
	found := rule{
		id:         readName(item["id"], path+".id"),
		priority:   readInteger(item["priority"], path+".priority"),
		conditions: readRuleConditions(conditions),
	}
	if given != nil {
		found.variant = r.variant(given, path+".variant")
	} else {
		found.allocation = r.allocation(ranges, path+".allocation")
	}
	return found
}

func (r flagReader) allocation(document any, path string) []bucketRange {
	return readRanges(document, path, 3, func(item []any) string { return r.variant(item[2], path) })
}

// readRanges reads half-open ranges of buckets, which do not overlap, each a list of so many members; in ascending
// order.
func readRanges(document any, path string, size int, variantOf func(item []any) string) []bucketRange {
	items, isList := document.([]any)
	if !isList {
		refuse(path, "Give a list of ranges.")
	}
	ranges := make([]bucketRange, len(items))
	for i, one := range items {
		item, _ := one.([]any)
		if len(item) != size {
			refuse(path, "Give [start, end, …] ranges.")
		}
		start, end := readInteger(item[0], path), readInteger(item[1], path)
		if start < 0 || start >= end || end > Buckets {
			refuse(path, fmt.Sprintf("Give whole numbers with 0 <= start < end <= %d.", Buckets))
		}
		ranges[i] = bucketRange{int32(start), int32(end), variantOf(item)}
	}
	slices.SortStableFunc(ranges, func(one, other bucketRange) int { return cmp.Compare(one.start, other.start) })
	for i := 1; i < len(ranges); i++ {
		if ranges[i].start < ranges[i-1].end {
			refuse(path, "Let the ranges not overlap.")
		}
	}
	return ranges
}

// experiment reads what serves of an experiment: nothing where it neither runs nor is paused.
func (r flagReader) experiment() *experiment {
	document := r.members["experiment"]
	if document == nil {
		return nil
	}
	members, isObject := document.(map[string]any)
	if !isObject {
		refuse("experiment", "Give an object, or null.")
	}
	layer, _ := members["layer"].(map[string]any)
	noVariant := func([]any) string { return "" }
	found := &experiment{
		id:             readName(members["id"], "experiment.id"),
		layerSalt:      readText(layer["salt"], "experiment.layer.salt"),
		ranges:         readRanges(members["ranges"], "experiment.ranges", 2, noVariant),
		controlVariant: r.variant(members["controlVariant"], "experiment.controlVariant"),
	}
	if audience := members["audience"]; audience != nil {
		found.audience = readTree(audience, 0)
	}
	if allocation := members["allocation"]; allocation != nil {
		found.hasAllocation = true
		found.allocation = r.allocation(allocation, "experiment.allocation")
	}
	if priority := members["priority"]; priority != nil {
		found.hasPriority = true
		found.priority = readInteger(priority, "experiment.priority")
	}
	if status := members["status"]; status != "running" && status != "paused" {
		return nil
	}
	return found
}

func (r flagReader) metadata() map[string]any {
	found := map[string]any{}
	members, _ := r.members["metadata"].(map[string]any)
	for name, given := range members {
		switch number := given.(type) {
		case string, bool:
			found[name] = given
		case float64:
			if !math.IsInf(number, 0) {
				found[name] = given
			}
		}
	}
	return found
}
