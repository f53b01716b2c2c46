// One evaluation by the generated client. The address and the key come from the environment.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"

	"flagship.test/client/evaluations"
)

func main() {
	client, err := evaluations.NewClientWithResponses(os.Getenv("FLAGSHIP_URL"),
		evaluations.WithRequestEditorFn(func(_ context.Context, request *http.Request) error {
			request.Header.Set("Authorization", "Bearer "+os.Getenv("FLAGSHIP_KEY"))
			return nil
		}))
	if err != nil {
		log.Fatal(err)
	}
	user := "ada"
	found, err := client.ApiFlagsEvaluateCreateWithResponse(context.Background(), evaluations.Evaluate{
		FlagKey: "checkout", UserId: &user, Attributes: &map[string]any{"country": "US"},
	})
	if err != nil {
		log.Fatal(err)
	}
	answer := found.JSON200
	if answer == nil {
		log.Fatalf("%s: %s", found.Status(), found.Body)
	}
	line, err := json.Marshal([]any{answer.Variant, answer.Value, answer.Reason})
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write(line)
}
