package openflagship_test

import (
	"context"
	"strings"
	"testing"

	"openflagship"
)

func TestNew_AddressesAndProxies_AreRefusedWhereTheyCannotWork(t *testing.T) {
	for text, problem := range map[string]string{
		"": "give an address", " ": "give an address", "localhost:8000": "give an address", "ftp://localhost": "give an address",
		"http://": "give an address", "http://:8000": "give an address", "http:///path": "give an address",
		"http://localhost:99999": "port", "http://localhost:65536": "port", "http://localhost:0": "port",
		"http://localhost:-1": "give an address", "http://localhost:http": "give an address",
		"http://::1": "brackets", "http://::1:8000": "brackets", "http://[::1": "give an address", "http://[1.2.3.4]:8000": "",
		"https://user:password@flags.example.com:65536": "port",
	} {
		for name, options := range map[string]openflagship.Options{
			"": {Mode: openflagship.Offline}, "StreamURL: ": {Mode: openflagship.Offline, StreamURL: text},
		} {
			address := text
			if name != "" {
				address = "https://flags.example.com"
			}
			_, err := openflagship.New("", address, options)
			if name != "" && text == "" {
				continue
			}
			if err == nil || !strings.HasPrefix(err.Error(), "openflagship: "+name) || !strings.Contains(err.Error(), problem) ||
				strings.Contains(err.Error(), "password") {
				t.Errorf("%s%q: %v", name, text, err)
			}
		}
	}
	for _, text := range []string{"::::", "http://proxy:0", "proxy:65536", "http://::1:3128", "socks5://proxy:70000", ":3128"} {
		_, err := openflagship.New(serverKey, "https://flags.example.com", openflagship.Options{Proxy: text})
		if err == nil || !strings.HasPrefix(err.Error(), "openflagship: proxy: ") {
			t.Errorf("proxy %q: %v", text, err)
		}
	}
	for _, text := range []string{
		"http://localhost", "HTTP://localhost:1", "https://flags.example.com:65535/below/", "http://[::1]:8000",
		"http://[fe80::1%25eth0]:8000", "http://127.0.0.1:8000", "https://user:password@flags.example.com", "http://localhost:",
		"http://xn--mnchen-3ya.example", "http://a_b.example?x=1#y",
	} {
		for _, proxy := range []string{"", "direct", "proxy", "proxy:3128", "http://user:password@[::1]:3128", "socks5://proxy"} {
			client, err := openflagship.New("", text, openflagship.Options{Mode: openflagship.Offline, Proxy: proxy, StreamURL: text})
			if err != nil {
				t.Errorf("%s through %s: %v", text, proxy, err)
				continue
			}
			_ = client.Close(context.Background())
		}
	}
}
