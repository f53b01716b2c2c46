class Cart {
    boolean isNew(Client client) {
        return client.getBooleanValue("new-checkout", false);
    }
}
