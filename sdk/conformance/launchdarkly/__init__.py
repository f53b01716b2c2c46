"""LaunchDarkly's sdk-test-harness against our SDKs: its flags put into our form, as far as that can say them."""
