package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"openflagship/engine"
	"openflagship/internal/testservice"
)

// compare compares this engine with the Python engine, field by field. The file has one JSON document a line:
// {snapshot, asked: [{key, userId, attributes, answer, unit}]}. It prints how many answers were alike.
func compare(path string) {
	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, 1<<20)
	count := 0
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			break
		}
		count += compareLine(line)
	}
	fmt.Println(count)
}

func compareLine(line []byte) int {
	var document struct {
		Snapshot json.RawMessage
		Asked    []struct {
			Key        string
			UserID     any
			Attributes map[string]any
			Answer     json.RawMessage
			Unit       *string
		}
	}
	if err := json.Unmarshal(line, &document); err != nil {
		panic(err)
	}
	environment, err := engine.Parse(document.Snapshot, nil)
	if err != nil {
		panic(err)
	}
	for _, one := range document.Asked {
		user := engine.UserOf(one.UserID, one.Attributes)
		outcome := environment.Evaluate(one.Key, user)
		answer, wanted := testservice.Answer(outcome.Answer()), testservice.Answer{}
		if err := json.Unmarshal(one.Answer, &wanted); err != nil {
			panic(err)
		}
		if wanted.ErrorCode != "" {
			// An error's detail is free text, and its value the caller's.
			answer.Detail, wanted.Detail, answer.Value, wanted.Value = "", "", nil, nil
		}
		unit := ""
		if one.Unit != nil {
			unit = *one.Unit
		}
		if !reflect.DeepEqual(answer, wanted) || environment.Unit(one.Key, user) != unit {
			fmt.Fprintf(os.Stderr, "%s for %v %v: %+v, expected %+v, in %s\n",
				one.Key, one.UserID, one.Attributes, answer, wanted, document.Snapshot)
			os.Exit(1)
		}
	}
	return len(document.Asked)
}
