package openflagship

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

var wrongKinds = []struct{ prefix, problem string }{
	{"fs_client_", "this is a client key (fs_client_…), which may not read the rules"},
	{"fs_manage_", "this is a management token (fs_manage_…), which belongs to no environment"},
	{"fs_sign_", "this is a signing secret (fs_sign_…); give it as SigningSecret"},
}

// checkServerKey is the key without the space around it. The error never contains the key: it ends up in logs.
func checkServerKey(key string, isOffline bool) (string, error) {
	// Keys come from files and variables, often with a newline at the end.
	key = strings.TrimSpace(key)
	for _, kind := range wrongKinds {
		if strings.HasPrefix(key, kind.prefix) {
			return "", errors.New("openflagship: " + kind.problem + ". Give the environment's server key (fs_server_…)")
		}
	}
	if key == "" && !isOffline {
		return "", errors.New("openflagship: give the environment's server key, or the mode Offline")
	}
	for i := 0; i < len(key); i++ {
		if key[i] < ' ' || key[i] > '~' {
			return "", errors.New("openflagship: the server key holds a character that no key has")
		}
	}
	return key, nil
}

// fingerprintOf is a name for the key's environment that may be written down: nobody finds the key from it.
func fingerprintOf(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("openflagship snapshot " + key))
	return hex.EncodeToString(sum[:])[:16]
}
