/* What unfold's pages keep in Alpine, registered by name: under our policy an attribute holds an expression, never a statement. */
document.addEventListener("alpine:init", () => {
  const SIDEBAR = "sidebarDesktopOpen";

  // unfold defines these in its app.js; Alpine's CSP build sees no globals.
  Alpine.data("theme", window.theme);
  Alpine.data("searchForm", window.searchForm);

  Alpine.data("frame", (primaryTab) => ({
    activeTab: primaryTab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem(SIDEBAR) !== "0",
    // All that unfold's form asks of the window, to send itself where its tab is.
    window: {
      location: {
        get pathname() {
          return location.pathname;
        },
        get search() {
          return location.search;
        },
      },
    },
    init() {
      this.activeTab = (primaryTab && getCurrentTab()) || primaryTab;
      this.$watch(SIDEBAR, (isOpen) => localStorage.setItem(SIDEBAR, isOpen ? "1" : "0"));
    },
  }));
});
