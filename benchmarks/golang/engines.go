package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/growthbook/growthbook-golang"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"

	"openflagship"
	"openflagship/engine"
)

func client(s *store) (*openflagship.Client, []openflagship.User) {
	found, err := openflagship.New("", "http://offline.invalid", openflagship.Options{
		Mode: openflagship.Offline, Bootstrap: s.Snapshot,
	})
	must(err)
	users := make([]openflagship.User, len(s.Users))
	for number, id := range s.Users {
		users[number] = openflagship.User{ID: id, Attributes: s.Attributes}
	}
	return found, users
}

func ours(s *store) asker {
	c, users := client(s)
	return asker{
		func(key string, user int) bool { return c.BoolDetail(key, users[user], false).Value },
		func(key string, user int) string { return c.StringDetail(key, users[user], "").Value },
	}
}

func oursWithout(s *store) asker {
	c, users := client(s)
	return asker{
		func(key string, user int) bool { return c.BoolValue(key, users[user], false) },
		func(key string, user int) string { return c.StringValue(key, users[user], "") },
	}
}

// engineAlone is what a service calls that follows the configuration by itself.
func engineAlone(s *store) asker {
	environment, err := engine.Parse(s.Snapshot, nil)
	must(err)
	_, users := client(s)
	ask := func(key string, user int) any {
		outcome := environment.Evaluate(key, users[user])
		return outcome.Value
	}
	return asker{
		func(key string, user int) bool { return ask(key, user).(bool) },
		func(key string, user int) string { return ask(key, user).(string) },
	}
}

func launchdarkly(s *store) asker {
	data := ldtestdata.DataSource()
	operators := map[any]ldmodel.Operator{
		"equals": ldmodel.OperatorIn, "in": ldmodel.OperatorIn, "greater_than": ldmodel.OperatorGreaterThan,
		"starts_with": ldmodel.OperatorStartsWith,
	}
	for _, one := range s.Flags {
		index := func(variant any) int {
			for number, name := range one.Variants {
				if name == variant {
					return number
				}
			}
			return 0
		}
		var variations []ldvalue.Value
		for _, name := range one.Variants {
			variations = append(variations, ldvalue.CopyArbitraryValue(one.Values[name]))
		}
		var buckets []ldmodel.WeightedVariation
		for _, part := range one.Split {
			buckets = append(buckets, ldbuilders.Bucket(index(part[0]), int(part[1].(float64))*10))
		}
		built := ldbuilders.NewFlagBuilder(one.Key).Version(1).On(true).Salt(one.Key).Variations(variations...).
			OffVariation(0).Fallthrough(ldbuilders.Rollout(buckets...))
		for number, raw := range one.Rules {
			conditions, variant := rule(raw)
			var clauses []ldmodel.Clause
			for _, part := range conditions {
				clauses = append(clauses, ldbuilders.Clause(part[0].(string), operators[part[1]], valuesOf(part[2])...))
			}
			built.AddRule(ldbuilders.NewRuleBuilder().ID(fmt.Sprint(number)).Variation(index(variant)).Clauses(clauses...))
		}
		data.UsePreconfiguredFlag(built.Build())
	}
	c, err := ld.MakeCustomClient("sdk-benchmark", ld.Config{
		DataSource: data, Events: ldcomponents.NoEvents(),
		Logging: ldcomponents.Logging().MinLevel(ldlog.Error),
	}, 10*time.Second)
	must(err)
	contexts := make([]ldcontext.Context, len(s.Users))
	for number, id := range s.Users {
		built := ldcontext.NewBuilder(id)
		for name, value := range s.Attributes {
			built.SetValue(name, ldvalue.CopyArbitraryValue(value))
		}
		contexts[number] = built.Build()
	}
	return asker{
		func(key string, user int) bool {
			value, _, err := c.BoolVariationDetail(key, contexts[user], false)
			must(err)
			return value
		},
		func(key string, user int) string {
			value, _, err := c.StringVariationDetail(key, contexts[user], "")
			must(err)
			return value
		},
	}
}

func valuesOf(given any) []ldvalue.Value {
	items, isList := given.([]any)
	if !isList {
		items = []any{given}
	}
	var values []ldvalue.Value
	for _, item := range items {
		values = append(values, ldvalue.CopyArbitraryValue(item))
	}
	return values
}

func growthbookClient(s *store) asker {
	features := map[string]any{}
	for _, one := range s.Flags {
		features[one.Key] = map[string]any{
			"defaultValue": one.Values[one.Variants[len(one.Variants)-1]], "rules": growthbookRules(one),
		}
	}
	text, err := json.Marshal(features)
	must(err)
	ctx := context.Background()
	c, err := growthbook.NewClient(ctx, growthbook.WithJsonFeatures(string(text)))
	must(err)
	children := make([]*growthbook.Client, len(s.Users))
	for number, id := range s.Users {
		attributes := growthbook.Attributes{"id": id}
		for name, value := range s.Attributes {
			attributes[name] = value
		}
		children[number], err = c.WithAttributes(attributes)
		must(err)
	}
	return asker{
		func(key string, user int) bool { return children[user].EvalFeature(ctx, key).On },
		func(key string, user int) string {
			text, _ := children[user].EvalFeature(ctx, key).Value.(string)
			return text
		},
	}
}

func growthbookRules(one flag) []any {
	if one.Kind == "boolean" {
		return []any{map[string]any{"force": true, "coverage": 0.25, "hashAttribute": "id"}}
	}
	var rules []any
	for _, raw := range one.Rules {
		conditions, variant := rule(raw)
		wanted := map[string]any{}
		for _, part := range conditions {
			name := part[0].(string)
			switch part[1] {
			case "equals":
				wanted[name] = part[2]
			case "in":
				wanted[name] = map[string]any{"$in": part[2]}
			case "greater_than":
				wanted[name] = map[string]any{"$gt": part[2]}
			default:
				wanted[name] = map[string]any{"$regex": "^" + part[2].(string)}
			}
		}
		rules = append(rules, map[string]any{"condition": wanted, "force": variant})
	}
	if rules == nil {
		var weights, variations []any
		for _, part := range one.Split {
			weights = append(weights, part[1].(float64)/10_000)
			variations = append(variations, one.Values[part[0].(string)])
		}
		rules = append(rules, map[string]any{
			"key": one.Key, "variations": variations, "weights": weights, "hashAttribute": "id",
		})
	}
	return rules
}
