package main

func total(client Client) int {
	if client.Boolean("new-checkout", nil, false) {
		return 1
	}
	return 0
}
