package openflagship_test

import (
	"fmt"
	"strings"
	"testing"

	"openflagship"
)

func TestOptions_InALog_HoldNoSecret(t *testing.T) {
	signing, hash := "signing-password", "hash-password"
	options := openflagship.Options{
		Mode: openflagship.Offline, SigningSecret: &signing, HashKey: &hash, Bootstrap: snapshot(1),
		Proxy: "http://user:proxy-password@proxy.example.com", StreamURL: "https://user:stream-password@flags.example.com",
	}
	client, err := openflagship.New("fs_server_password", "https://user:address-password@flags.example.com", options)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, one := range []any{options, &options, client} {
			if said := fmt.Sprintf(form, one); strings.Contains(said, "password") || strings.Contains(said, "0xc0") && one != client {
				t.Errorf("%s: %s", form, said)
			}
		}
	}
}

func TestNew_StoresThatCannotWork_AreRefused(t *testing.T) {
	for _, store := range []openflagship.Store{
		openflagship.FileStore{}, &openflagship.FileStore{}, (*openflagship.FileStore)(nil), openflagship.RedisStore{},
		&openflagship.RedisStore{}, (*openflagship.RedisStore)(nil), (*openflagship.MemoryStore)(nil),
	} {
		_, err := openflagship.New(serverKey, "https://flags.example.com", openflagship.Options{Store: store})
		if err == nil || !strings.HasPrefix(err.Error(), "openflagship: Store: ") {
			t.Errorf("%#v: %v", store, err)
		}
	}
}
