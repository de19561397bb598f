import { defer } from "defer-postgres";
import computeProductRecommendation from "./computeProductRecommendation";
import { optedIn } from "../users";

// The jobs of all users are there when this one has ended, or none is
const weeklyProductRecommendations = async () => {
  for (const user of await optedIn()) {
    await computeProductRecommendation(user);
  }
};

export default defer.cron(weeklyProductRecommendations, "0 8 * * 1");
